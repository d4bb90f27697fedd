"""Proofs of modules of the library, kept by content."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from qdeploy.artifacts import write_json
from qdeploy.errors import ToolFailedError
from qdeploy.tools import tool_version
from qdeploy.verify.sums.circuit import Circuit
from qdeploy.verify.sums.countones import with_function
from qdeploy.verify.sums.dots import CONTRACTS, COUNTERS
from qdeploy.verify.sums.polynomial import Monomial, Polynomial, modulo
from qdeploy.verify.sums.results import Construct, Finding, NotProvedError, View
from qdeploy.verify.sums.rewriting import Rewriter
from qdeploy.verify.sums.yosys_view import read_with_yosys

# Changes to the rules or to the contracts change this, and with it every key.
_RULES = "1"
MOST_FINDINGS = 5
_VIEWS: tuple[View, ...] = ("synthesis", "simulation")


def prove(
    construct: Construct, sources: Mapping[str, str], store: Path | None = None
) -> tuple[Finding, ...]:
    """Prove that both descriptions of a module give what they have to, for all inputs.

    Args:
        sources: module -> text, of the module and of all that it instantiates.
        store: folder of proofs by content; may be shared.

    Returns:
        What differs or is not proved; nothing where both are proved.

    Raises:
        ToolMissingError: there is no Yosys.
        OutOfMemoryError: Yosys ran out of memory.
    """
    record = None if store is None else store / f"{_key(construct, sources)}.json"
    if record is not None and _known(record, construct):
        return ()
    findings = []
    for view in _VIEWS:
        try:
            findings += _differences(construct, sources, view)
        except NotProvedError as error:
            findings.append(Finding(view, "the result", "proved", f"not proved: {error}"))
        except ToolFailedError as error:
            reason = f"not proved: {error.what}: {error.why}"
            findings.append(Finding(view, "the result", "proved", reason))
    if not findings and record is not None:
        write_json(record, _record(construct))
    return tuple(findings)


def _record(construct: Construct) -> dict[str, object]:
    return {"proved": construct.module, "parameters": dict(construct.parameters)}


def _known(record: Path, construct: Construct) -> bool:
    """Whether the proof is in the store; one that does not read is made again."""
    try:
        return bool(json.loads(record.read_text(encoding="utf-8")) == _record(construct))
    except (OSError, ValueError):
        return False


def _key(construct: Construct, sources: Mapping[str, str]) -> str:
    content = [_RULES, tool_version("yosys"), construct.module, construct.parameters]
    whole = json.dumps([*content, sorted(sources.items())])
    return hashlib.sha256(whole.encode()).hexdigest()


def _differences(construct: Construct, sources: Mapping[str, str], view: View) -> list[Finding]:
    contract, given = CONTRACTS[construct.module], dict(construct.parameters)
    boxes = {*COUNTERS} - {construct.module}
    if view == "simulation":
        own = with_function(sources[construct.module], max(contract.counted(given), 1))
        sources = {**sources, construct.module: own}
    with tempfile.TemporaryDirectory(prefix="qdeploy-proof-") as scratch:
        module = read_with_yosys(construct, sources, boxes, view, Path(scratch))
    width = contract.width(given)
    bits = list(module.outputs.get(contract.output, ()))
    if len(bits) != width:
        return [Finding(view, f"bits of `{contract.output}`", str(width), str(len(bits)))]
    found = Rewriter(Circuit(module), COUNTERS).word(bits)
    return _compared(modulo(contract.value(given), width), found, view)


def _compared(expected: Polynomial, found: Polynomial, view: View) -> list[Finding]:
    different = sorted(
        (
            monomial
            for monomial in {*expected, *found}
            if expected.get(monomial) != found.get(monomial)
        ),
        key=lambda monomial: (len(monomial), monomial),
    )
    return [
        Finding(
            view,
            f"the factor of {_name(monomial)}",
            str(expected.get(monomial, 0)),
            str(found.get(monomial, 0)),
        )
        for monomial in different[:MOST_FINDINGS]
    ]


def _name(monomial: Monomial) -> str:
    if not monomial:
        return "1"
    bits = (f"{port}[{bit}] {cycles} cycles before" for port, bit, cycles in monomial)
    return " · ".join(bits)
