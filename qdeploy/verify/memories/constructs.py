"""Modules of the library that are written twice: proved for the parameters of a design's layers.

What differs between simulation and synthesis is proved by `qdeploy.verify.sums` in both forms; all
other modules of the library have one form.
"""

from __future__ import annotations

from pathlib import Path

from qdeploy.resources import resource
from qdeploy.verify.memories.blocks import LIBRARY, Block
from qdeploy.verify.memories.ledger import Ledger, Place, UnreadableError
from qdeploy.verify.memories.library import needed
from qdeploy.verify.sums.dots import CONTRACTS, COUNTERS
from qdeploy.verify.sums.proof import prove
from qdeploy.verify.sums.results import READERS, Construct

# By the parameter DOT.
_DOTS = {
    "qd_mvu": ("qd_dot_planes", "qd_dot_mult", "qd_dot_xnor"),
    "qd_depthwise": ("qd_dot_planes", "qd_dot_mult"),
}
MOST_LAYERS = 4


def constructs_of(block: Block) -> list[Construct]:
    """What a block instantiates that is written twice, and the counters that is made of.

    Raises:
        UnreadableError: its parameter DOT stands for no module.
    """
    if block.module == "qd_unrolled":
        return [Construct("qd_count_six")]
    if block.module not in _DOTS:
        return []
    dots, kind = _DOTS[block.module], block.number("DOT")
    if not 0 <= kind < len(dots):
        raise UnreadableError(f"parameter DOT of `{block.module}` is {kind}")
    names = CONTRACTS[dots[kind]].parameters
    # A depthwise unit has one lane for each product.
    fixed = {"SIMD": 1} if block.module == "qd_depthwise" else {}
    given = tuple((name, fixed.get(name) or block.number(name)) for name in names)
    files = needed([dots[kind]])
    counters = [Construct(name) for name in COUNTERS if f"{name}.v" in files]
    return [Construct(dots[kind], given), *counters]


def check_constructs(ledger: Ledger, store: Path | None, library: Path | None = None) -> None:
    """Prove every construct of the design that was read.

    Args:
        store: folder of proofs by content.
        library: the library that the design's files are equal to; None for this version's.

    Raises:
        ToolMissingError: there is no Yosys.
    """
    folder = library or resource(LIBRARY)
    for construct, layers in ledger.constructs.items():
        texts = {
            name.removesuffix(".v"): (folder / name).read_text(encoding="utf-8")
            for name in sorted(needed([construct.module]))
        }
        findings = prove(construct, texts, store)
        ledger.counted["library modules proved"] += not findings
        for finding in findings:
            Place(ledger, "", construct.module).differs(
                f"with {construct or 'no parameters'} {READERS[finding.view]} "
                f"({_names(layers)}), {finding.place}",
                finding.expected,
                finding.found,
            )


def _names(layers: list[str]) -> str:
    named = ", ".join(f"`{layer}`" for layer in layers[:MOST_LAYERS])
    more = len(layers) - MOST_LAYERS
    return f"in layers {named}" + (f" and {more} more" if more > 0 else "")
