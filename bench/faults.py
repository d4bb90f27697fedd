"""Designs broken in one place: which rung of the ladder finds it, and whether it names the place.

    python bench/faults.py [--each 80] [--shares 40] [--seed 0] [--only PART] [--keep FOLDER]

Four networks are stitched and synthesized, and their files broken one at a time: a weight,
threshold or constant off by one, two channels swapped, a parameter off by one, windows one pixel
off, a lost beat, a port at another stream, an operator of a library module changed, or of one of
its two forms only (simulated, synthesized) in the design and in the library that it is compared
with, a cell of the netlist turned over. The rungs `memories`, `layer` and `rtl` run on each broken
design, `netlist layer` and `netlist` on each broken netlist. What no rung finds, and what the rung
`layer` does not find, has to be a fault that it cannot see: by a proof, an enumeration or an
argument (`fault_reasons.py`). Then `fault_shares.py` checks the coverage that the ladder computes
against faults injected into RTL.

Writes bench/results/faults.json, and bench/faults_found.json with what each rung said of each
fault. The exit code is 1 where a fault was found by none and is not redundant, was told of another
layer, or was not found by a rung and nothing explains it, or where coverage and RTL do not agree.

With `--keep` a run that was ended goes on where it was; `--only` runs one network's part into that
folder and writes no results.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fault_shares
from fault_reasons import PROOFS, reason
from fault_rungs import (
    LAYER,
    NETLIST_LAYER,
    OF_NETLIST,
    OF_RTL,
    RUNGS,
    Bench,
    at_its_place,
    broken,
    forget_models,
    said,
)
from record import figure, save

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))

NETWORKS = ("convnet", "resnet", "mobilenet", "many_levels_fast")
# The part that is no network: coverage against injected faults.
PART = "shares"
LISTED = ROOT / "bench/faults_found.json"
# Faults of each kind among `EACH`.
SHARES = {
    "weight": 12,
    "threshold": 10,
    "constant": 6,
    "channels": 8,
    "parameter": 8,
    "window": 6,
    "beat": 6,
    "wire": 4,
    "library": 8,
    "forms": 4,
    "cell": 8,
}
FRAMES = 100
# Draws of one kind that give nothing new.
MOST_TRIES = 50
# Frames per second that a design is folded for whose netlist is broken: a few thousand cells.
NETLIST_FPS = {
    "convnet": 2_000.0,
    "resnet": 2_000.0,
    "mobilenet": 20_000.0,
    "many_levels_fast": 20_000.0,
}


@dataclass(frozen=True)
class Outcome:
    """What became of one fault.

    Args:
        found: what each rung says that finds it.
        right: the rungs that name its place first.
        why: why the layer rung cannot see it, empty where it does or should.
        redundant: no rung finds it, and `why` is a proof.
    """

    network: str
    kind: str
    told: str
    found: dict[str, str]
    right: tuple[str, ...]
    why: str
    redundant: bool

    @property
    def first(self) -> str | None:
        """The first rung of the ladder that finds it."""
        return next((rung for rung in RUNGS if rung in self.found), None)

    def faults(self) -> list[str]:
        """What is not as it should be."""
        told = f"{self.network}, {self.told}"
        if not self.found and not self.redundant:
            return [f"{told}: not found"]
        made = []
        if self.first is not None and self.first not in self.right:
            made.append(f"{told}: {self.first} names another place: {self.found[self.first]}")
        alone = NETLIST_LAYER if self.kind == "cell" else LAYER
        if alone not in self.found and not self.why:
            made.append(f"{told}: rung `{alone}` does not find it, and nothing says why")
        return made


def main() -> int:
    """Break every network in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=sum(SHARES.values()), help="faults a network")
    parser.add_argument(
        "--shares", type=int, default=40, help="injected faults a network and kind of coverage"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", choices=(*NETWORKS, PART), help="one part; no results are written"
    )
    parser.add_argument("--keep", type=Path, help="folder of what is done so far")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    scratch = arguments.keep or Path(tempfile.mkdtemp())
    outcomes: list[Outcome] = []
    for network in NETWORKS:
        if arguments.only not in (None, network):
            continue
        outcomes += _network(network, arguments.each, arguments.seed, scratch / network)
    bad = [sentence for one in outcomes for sentence in one.faults()]
    rows = _rows(outcomes)
    if arguments.shares and arguments.only in (None, PART):
        for network in fault_shares.NETWORKS:
            more, differing = _shares(scratch, network, arguments.shares, arguments.seed)
            rows, bad = rows + more, bad + differing
    print(*bad, sep="\n")
    if not arguments.keep:
        shutil.rmtree(scratch)
    if not arguments.only:
        print(save("faults", rows))
        text = json.dumps([_listed(one) for one in outcomes], indent=1)
        LISTED.write_text(text + "\n", encoding="utf-8")
    return 1 if bad else 0


def _shares(
    scratch: Path, network: str, each: int, seed: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """`fault_shares.check`, or what it gave before."""
    kept = scratch / f"shares_{network}_{each}_{seed}.json"
    if not kept.is_file():
        made = fault_shares.check(network, each, seed)
        scratch.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(made), encoding="utf-8")
    rows, differing = json.loads(kept.read_text(encoding="utf-8"))
    return rows, differing


def _listed(one: Outcome) -> dict[str, Any]:
    data = {**asdict(one), "found": {rung: _short(text) for rung, text in one.found.items()}}
    return {key: value for key, value in data.items() if value not in ("", False, {}, ())}


def _rows(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Counts per network, then per kind, then of all."""
    counts: dict[str, Counter[str]] = {}
    for one in outcomes:
        for group in (one.network, one.kind, "all"):
            counts.setdefault(group, Counter()).update(
                {
                    "faults": 1,
                    "found": int(bool(one.found)),
                    "redundant": int(one.redundant),
                    "right_layer": int(one.first is not None and one.first in one.right),
                    **{rung.replace(" ", "_"): int(rung in one.found) for rung in RUNGS},
                    "layer_cannot_see": int(bool(one.why) and not one.redundant),
                }
            )
    order = [*NETWORKS, *SHARES, "all"]
    return [
        figure(group, name, counts[group][name], "faults")
        for group in order
        if group in counts
        for name in counts[group]
    ]


def _network(name: str, each: int, seed: int, folder: Path) -> list[Outcome]:
    """All faults of a network; those in `outcomes.jsonl` are not tried again."""
    from design_faults import Faults
    from memory_designs import DESIGNS
    from netlist_faults import CELL, draw_cell

    bench = _built(name, folder / "design", DESIGNS[name][1], netlist=False)
    slow = _built(name, folder / "netlist", NETLIST_FPS[name], netlist=True)
    log = folder / "outcomes.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    done = {one["told"]: one for one in map(json.loads, lines)}
    faults = Faults(bench.rtl, bench.design, random.Random(f"{name} {seed}"))
    cells = random.Random(f"{name} {seed} cells")
    wanted = [kind for kind, share in SHARES.items() for _ in range(share)]
    outcomes: list[Outcome] = []
    taken: set[str] = set()
    tries = 0
    while len(outcomes) < each:
        kind, tries = wanted[len(outcomes) * len(wanted) // each], tries + 1
        if kind == CELL:
            fault = draw_cell(slow.folder, slow.design, cells)
        else:
            # A kind that the design has no further place for is left to the next one.
            fault = faults.draw(kind if tries < MOST_TRIES else "parameter")
        told = f"{fault.kind}: {fault.file}, {fault.what}" if fault else ""
        if fault is None or told in taken:
            continue
        tries = 0
        taken.add(told)
        if told in done:
            known = done[told]
            outcomes.append(Outcome(**{**known, "right": tuple(known["right"])}))
            continue
        own = slow if kind == CELL else bench
        with broken(own, fault):
            outcomes.append(_outcome(name, own, fault, told))
        if fault.file.endswith(".v"):
            forget_models(own)
        with log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(outcomes[-1])) + "\n")
        print(
            f"  {name} {told}: {outcomes[-1].found or 'not found'} {outcomes[-1].why}", flush=True
        )
    return outcomes


def _built(name: str, folder: Path, fps: float | None, *, netlist: bool) -> Bench:
    """A network's build folder: stitched, and synthesized if a netlist is wanted."""
    from memory_designs import DESIGNS

    from qdeploy.build_folder import RTL_FOLDER, SYNTH_FOLDER
    from qdeploy.dataflow.compile import compile_graph
    from qdeploy.design.manifest import Design
    from qdeploy.devices.boards import load_board
    from qdeploy.ir.reference import run_reference
    from qdeploy.synth.synthesize import synthesize

    maker, board = DESIGNS[name][0](), load_board("pynq-z2")
    graph, frames = maker.graph(), maker.frames(FRAMES)
    good = folder / "good"
    if not good.is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        made = folder / "made"
        compile_graph(graph, board, made / RTL_FOLDER, fps=fps)
        if netlist:
            design = Design.load(made / RTL_FOLDER)
            synthesize(made / RTL_FOLDER, design, made / SYNTH_FOLDER, board)
        made.rename(good)
    # A run that was ended may have left a fault.
    for part in (RTL_FOLDER, SYNTH_FOLDER):
        if (good / part).is_dir():
            shutil.rmtree(folder / part, ignore_errors=True)
            shutil.copytree(good / part, folder / part)
    design = Design.load(folder / RTL_FOLDER)
    return Bench(folder, design, graph, frames, run_reference(graph, frames))


def _outcome(network: str, bench: Bench, fault: Any, told: str) -> Outcome:
    from netlist_faults import CELL

    rungs = OF_NETLIST if fault.kind == CELL else OF_RTL
    found, ledger = said(bench, fault, rungs)
    right = tuple(rung for rung, text in found.items() if at_its_place(bench, fault, text))
    alone = NETLIST_LAYER if fault.kind == CELL else LAYER
    why = "" if alone in found else reason(bench, fault, ledger) or ""
    short = {rung: _short(text) for rung, text in found.items()}
    return Outcome(network, fault.kind, told, short, right, why, not found and why in PROOFS)


def _short(text: str) -> str:
    """A message without the log of a program, and without folders of this machine."""
    text = re.sub(r"; log: .*", "", text, flags=re.DOTALL)
    return re.sub(r"/\S+/", "", text)


if __name__ == "__main__":
    sys.exit(main())
