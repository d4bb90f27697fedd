"""Designs broken in one place: which rung of the ladder finds it, and whether it names the place.

    python bench/faults.py [--each 80] [--shares 40] [--seed 0] [--no-rtl]

Four networks are stitched, and their files broken one at a time: a weight, threshold or constant
off by one, two channels swapped, a parameter off by one, a port at another stream, an operator of a
library module changed, or of one of its two forms only (simulated, synthesized) in the design and
in the library that it is compared with. The rungs `memories` and `rtl` run on each. A fault that
neither finds has to be one that no input can show, which is enumerated or shown by a SAT solver.
Then `fault_shares.py` checks the coverage that the ladder computes against faults injected into
RTL. Writes bench/results/faults.json; the exit code is 1 where a fault was found by neither and is
not redundant, or was told of another layer, or where coverage and RTL do not agree.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fault_shares
import numpy as np
from record import figure, save

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/support"))

NETWORKS = ("convnet", "resnet", "mobilenet", "many_levels_fast")
# Faults of each kind among `EACH`.
SHARES = {
    "weight": 18,
    "threshold": 16,
    "constant": 8,
    "channels": 10,
    "parameter": 12,
    "wire": 8,
    "library": 8,
    "forms": 5,
}
FRAMES, STALL = 20, 0.2


@dataclass(frozen=True)
class Outcome:
    """What became of one fault.

    Args:
        memories, rtl: what the rung says, None where it finds nothing or did not run.
        right: whether the place that is named first is that of the fault.
        redundant: no input can show it.
    """

    kind: str
    told: str
    memories: str | None
    rtl: str | None
    right: bool
    redundant: bool

    @property
    def found(self) -> bool:
        """Whether the ladder fails on it."""
        return self.memories is not None or self.rtl is not None


def main() -> int:
    """Break every network in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=sum(SHARES.values()), help="faults a network")
    parser.add_argument(
        "--shares", type=int, default=40, help="injected faults a network and kind of coverage"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-rtl", action="store_true", help="read the files back only")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows, bad, kinds = [], [], {kind: Counter() for kind in SHARES}
    for network in NETWORKS:
        outcomes = _network(network, arguments.each, arguments.seed, rtl=not arguments.no_rtl)
        rows += _rows(network, outcomes)
        for one in outcomes:
            kinds[one.kind].update(_counts(one))
            if (not one.found and not one.redundant) or (one.memories and not one.right):
                bad.append(f"{network}, {one.told}: {one.memories or one.rtl or 'not found'}")
    for kind, counts in kinds.items():
        rows += [figure(kind, name, counts[name], "faults") for name in _NAMES]
    if not arguments.no_rtl and arguments.shares:
        for network in fault_shares.NETWORKS:
            more, differing = fault_shares.check(network, arguments.shares, arguments.seed)
            rows, bad = rows + more, bad + differing
    print(*bad, sep="\n")
    if not arguments.no_rtl:
        print(save("faults", rows))
    return 1 if bad else 0


_NAMES = ("faults", "found", "redundant", "right_layer", "memories", "rtl")


def _counts(one: Outcome) -> dict[str, int]:
    told = (True, one.found, one.redundant, one.found and one.right, one.memories, one.rtl)
    return {name: int(bool(value)) for name, value in zip(_NAMES, told, strict=True)}


def _rows(network: str, outcomes: list[Outcome]) -> list[dict[str, Any]]:
    total: Counter[str] = Counter()
    for one in outcomes:
        total.update(_counts(one))
    print(f"{network}: " + ", ".join(f"{name} {total[name]}" for name in _NAMES), flush=True)
    return [figure(network, name, total[name], "faults") for name in _NAMES]


def _network(name: str, each: int, seed: int, *, rtl: bool) -> list[Outcome]:
    from design_faults import Fault, Faults
    from memory_designs import DESIGNS, stitched

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "rtl"
        design, graph = stitched(name, folder)
        maker = DESIGNS[name][0]()
        maker.graph()
        frames = maker.frames(FRAMES)
        faults = Faults(folder, design, random.Random(f"{name} {seed}"))
        wanted = [kind for kind, share in SHARES.items() for _ in range(share)]
        outcomes: list[Outcome] = []
        while len(outcomes) < each:
            # A kind that the design has no place for is left to the next one.
            fault: Fault | None = faults.draw(wanted[len(outcomes) * len(wanted) // each])
            fault = fault or faults.draw("parameter")
            if fault is None:
                continue
            path = folder / fault.file
            before = path.read_text(encoding="utf-8")
            path.write_text(fault.text, encoding="utf-8")
            outcomes.append(_outcome(folder, design, graph, fault, frames if rtl else None))
            path.write_text(before, encoding="utf-8")
            one = outcomes[-1]
            print(f"  {one.told}: memories {one.memories}; rtl {one.rtl}", flush=True)
    return outcomes


def _outcome(folder: Path, design: Any, graph: Any, fault: Any, frames: Any) -> Outcome:
    from design_faults import FORMS, changes_nothing
    from library_changes import changes_no_construct

    from qdeploy.verify.memories.constructs import check_constructs
    from qdeploy.verify.memories.design import check_design

    library = _library(folder, fault.file) if fault.kind == FORMS else None
    ledger = check_design(folder, design, graph, library)
    check_constructs(ledger, folder.parent / "proofs", library)
    first = ledger.listed[0] if ledger.listed else None
    seen = None if frames is None else _rtl(folder, design, graph, frames)
    if first is not None:
        owner = fault.file.removesuffix(".v")
        right = first.layer == fault.layer if fault.layer else owner in first.sentence()
    else:
        right = seen is not None and f"`{fault.layer}" in seen
    redundant = False
    if first is None and seen is None:
        if fault.kind == FORMS:
            redundant = changes_no_construct(
                ledger.constructs, fault.file, fault.text, folder.parent
            )
        else:
            redundant = changes_nothing(folder, design, graph, fault)
    return Outcome(
        fault.kind,
        f"{fault.kind}: {fault.file}, {fault.what}",
        None if first is None else first.sentence(),
        seen,
        right,
        redundant,
    )


def _library(folder: Path, file: str) -> Path:
    """A library that has one file as the design has it."""
    from qdeploy.resources import resource

    library = folder.parent / "library"
    shutil.copytree(resource("hw/rtl"), library, dirs_exist_ok=True)
    shutil.copyfile(folder / file, library / file)
    return library


def _rtl(folder: Path, design: Any, graph: Any, frames: np.ndarray) -> str | None:
    """What simulation says of a design, None where it is right in every code."""
    from qdeploy.errors import QDeployError
    from qdeploy.ir.reference import run_reference
    from qdeploy.sim.design import simulate_design
    from qdeploy.verify.compare import compare

    models = folder.parent / "models"
    expected = run_reference(graph, frames)
    try:
        simulator = simulate_design(folder, design, models, optimize="-O0")
        found = simulator.run(frames, stall_in=STALL, stall_out=STALL, seed=1)
    except QDeployError as error:
        shutil.rmtree(models, ignore_errors=True)
        return error.what
    first = compare(graph.boundaries(), expected, {**found.taps, graph.output: found.outputs}).first
    return None if first is None else first.sentence()


if __name__ == "__main__":
    sys.exit(main())
