"""What each block of `hw/rtl` costs before synthesis: LUTs, flip-flops, block RAMs, DSP blocks.

    LUT = known LUT RAM + Σ coefficient · count      counts from `cost/modules`, per block
    FF  = Σ coefficient · count
    BRAM18, DSP exactly, as Yosys maps them (`devices.xc7_memories`)

The coefficients are fitted to blocks synthesized by Yosys; `hw/costs/<family>.json` holds them with
the measured rows, made by `scripts/measure_costs.py`. It also says which Verilog they were measured
on: the hash over the files of each module. A unit costs the sum of its blocks, a design the sum of
its units and of the counter that makes TLAST.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import mul
from pathlib import Path
from typing import Any

from qdeploy.bounded import read_json
from qdeploy.dataflow.cost.features import LOAD_BITS, LOADS, Parameters, all_features
from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.dataflow.rtl.library import FOLDER, closure
from qdeploy.design.library_text import library_text
from qdeploy.errors import InternalError, UserError
from qdeploy.observer import ignore
from qdeploy.resources import resource

COSTS = "hw/costs"
COMMAND = "python scripts/measure_costs.py"

FEATURES = all_features()
# A link of the configuration chain, beside the register of a word (qd_load.v with Yosys).
LOAD_LUT, LOAD_FF = 20, 28
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class Coefficients:
    """LUTs and flip-flops for one of each count of a variant's features."""

    lut: tuple[float, ...]
    ff: tuple[float, ...]


@dataclass(frozen=True)
class BlockCosts:
    """Costs of blocks for one family of parts.

    Args:
        coefficients: module -> variant -> coefficients.
        stale: modules whose Verilog is not what was measured.
    """

    family: str
    coefficients: Mapping[str, Mapping[str, Coefficients]]
    stale: tuple[str, ...] = field(default=())

    def of(self, module: str, parameters: Parameters) -> ResourceUsage:
        """What a block costs.

        Args:
            module: of `hw/rtl`, one that a unit instantiates.
            parameters: its Verilog parameters, as the backends give them, and its facts.

        Raises:
            InternalError: nobody measured that module, or a variant of it.
        """
        try:
            features = FEATURES[module](parameters)
            found = self.coefficients[module][features.variant]
        except KeyError as error:
            raise InternalError(
                f"there is no cost for the block `{module}`",
                where=f"{COSTS}/{self.family}.json",
                why=f"{error} is missing in its parameters, its features or its measurements",
                do=f"measure it: {COMMAND} --only {module}",
            ) from error
        loads, bits = (int(parameters.get(name, 0)) for name in (LOADS, LOAD_BITS))
        lut = features.fixed_lut + sum(map(mul, found.lut, features.lut)) + LOAD_LUT * loads
        return ResourceUsage(
            round(lut),
            round(sum(map(mul, found.ff, features.ff))) + LOAD_FF * loads + bits,
            features.bram18,
            features.dsp,
            features.lutram,
        )

    def total(self, blocks: Iterable[tuple[str, Parameters]]) -> ResourceUsage:
        """What several blocks, by module and parameters, cost together."""
        usage = ResourceUsage()
        for module, parameters in blocks:
            usage += self.of(module, parameters)
        return usage


def rtl_hash(module: str) -> str:
    """SHA-256 over the Verilog a module is made of, comments aside: what measurements hold for."""
    hasher = hashlib.sha256()
    for name in closure([module]):
        text = resource(f"{FOLDER}/{name}").read_text(encoding="utf-8")
        text = without_comments(library_text(text, loadable=False))
        hasher.update(f"{name}:{len(text)}:{text}".encode())
    return hasher.hexdigest()


def without_comments(verilog: str) -> str:
    """Verilog with comments left out and white space made one."""
    return " ".join(_COMMENT.sub(" ", verilog).split())


def load_costs(
    family: str = "xc7",
    *,
    strict: bool = False,
    folder: Path | None = None,
    note: Callable[[str], None] = ignore,
) -> BlockCosts:
    """The measured costs of a family.

    A table measured on other Verilog than there is now still steers a folding, which synthesis
    checks later: a note says so, and `stale` names the modules.

    Args:
        strict: refuse such a table.
        folder: of the tables; `hw/costs` when None.
        note: takes what a person should read, such as that a table is out of date.

    Raises:
        UserError: there is no table, it does not read, or `strict` and it is out of date.
    """
    path = (folder or resource(COSTS)) / f"{family}.json"
    try:
        data: dict[str, Any] = read_json(path)
        coefficients = {
            module: {
                variant: Coefficients(tuple(fitted["lut"].values()), tuple(fitted["ff"].values()))
                for variant, fitted in entry["variants"].items()
            }
            for module, entry in data["modules"].items()
        }
        hashes = {module: str(entry["rtl_sha256"]) for module, entry in data["modules"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(
            f"there is no readable cost table for the family `{family}`",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            do=f"make it: {COMMAND}",
        ) from error
    stale = tuple(module for module in FEATURES if hashes.get(module) != rtl_hash(module))
    if stale:
        message = UserError(
            f"the cost table for `{family}` was not measured on the present Verilog of "
            + ", ".join(f"`{module}`" for module in stale),
            where=str(path),
            why="estimates for these blocks may be off; synthesis still counts what there is",
            do=f"measure them again: {COMMAND} --only {','.join(stale)}",
        )
        if strict:
            raise message
        note(f"note: {message}")
    return BlockCosts(family, coefficients, stale)
