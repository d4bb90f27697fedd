"""The computed coverage against faults injected into RTL: weights, thresholds, swapped channels.

Faults are drawn evenly from all that `qdeploy.verify.coverage` counts. The network with the fault
is compiled, its memory files are put into the design without, and the design is simulated, as in
the rung `rtl` with a few frames and as in the rung `layer` with its vectors: the model stays the
same, since memories are read when a run starts. What RTL finds has to be what was computed, fault
by fault; the shares found have to be the computed ones as far as a sample can tell.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from record import figure, rounded

# Networks with their weights in memories, and the frames per second they are folded for.
NETWORKS = {"convnet": 2_000.0, "resnet": 2_000.0, "mobilenet": 20_000.0, "uneven": 5_000.0}
FRAMES, STALL = 5, 0.2
# Normal quantile of a two-sided 99.9 %: one of 12 shares out of it by chance once in 80 runs.
CONFIDENCE = 3.29


@dataclass(frozen=True)
class Injected:
    """One fault: what was computed, what RTL said of it, and whether the rung `layer` found it."""

    told: str
    computed: bool
    found: bool
    alone: bool


def check(name: str, each: int, seed: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of one network, and what does not agree.

    Args:
        each: faults of each kind.
    """
    from memory_designs import DESIGNS

    from qdeploy.ir.reference import run_reference
    from qdeploy.verify.coverage.frames import FrameFaults

    maker = DESIGNS[name][0]()
    graph, frames = maker.graph(), maker.frames(FRAMES)
    right = run_reference(graph, frames)
    faults = FrameFaults(graph)
    faults.add(frames, right)
    rows, bad = [], []
    with tempfile.TemporaryDirectory() as scratch:
        bench = _Bench(Path(scratch), graph, NETWORKS[name], frames, right)
        for kind, draw in (("weights", _weights), ("thresholds", _levels), ("channels", _swaps)):
            drawn = draw(graph, faults, random.Random(f"{name} {kind} {seed}"))
            made: list[Injected] = []
            while len(made) < each:
                told, broken, computed = next(drawn)
                found = bench.found(broken)
                if found is not None:
                    made.append(Injected(told, computed, *found))
            bad += [f"{name}, {one.told}: computed {one.computed}, RTL {one.found}"
                    for one in made if one.found != one.computed]  # fmt: skip
            rtl, alone = faults.seen()[kind], bench.account(kind)
            agree = sum(int(one.found) == int(one.computed) for one in made)
            title = f"{name}, {kind}, rtl in {FRAMES} frames"
            for told, count, hits in (
                (title, rtl, [o.found for o in made]),
                (f"{name}, {kind}, layer", alone, [o.alone for o in made]),
            ):
                more, differing = _compared(told, count.seen / count.total, hits)
                rows, bad = rows + more, bad + differing
            rows.append(figure(title, "agree", agree, "faults"))
    return rows, bad


def _compared(title: str, share: float, hits: list[bool]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of a computed share and of what was found, and what to say where they differ."""
    each, measured = len(hits), sum(hits) / len(hits)
    # Rule of three where the computed share leaves no spread.
    spread = max(CONFIDENCE * (share * (1 - share) / each) ** 0.5, 3 / each)
    print(f"{title}: computed {share:.3f}, found {measured:.3f} of {each}", flush=True)
    rows = [
        figure(title, "computed_share", rounded(100 * share), "%"),
        figure(title, "measured_share", rounded(100 * measured), "%"),
        figure(title, "injected", each, "faults"),
    ]
    off = abs(measured - share) > spread
    return rows, [f"{title}: {measured:.3f} found, {share:.3f} computed"] if off else []


class _Bench:
    """A design, and the same with the memories of a broken network."""

    def __init__(self, scratch: Path, graph: Any, fps: float, frames: Any, right: Any) -> None:
        from qdeploy.design.manifest import Design
        from qdeploy.sim.cut_top import cut_ports
        from qdeploy.sim.design import simulate_design
        from qdeploy.verify.rungs.layer import allowed_cycles
        from qdeploy.verify.units.trial import prepare

        self.scratch, self.graph, self.fps = scratch, graph, fps
        self.frames, self.right = frames, right
        self.folder = scratch / "rtl"
        self.compiled(graph, self.folder)
        self.design = Design.load(self.folder)
        self.good = {name: (self.folder / name).read_bytes() for name in self.design.memories}
        self.model = simulate_design(self.folder, self.design, scratch / "models", optimize="-O1")
        self.trial = prepare(self.design, graph, allowed_cycles(self.design, graph))
        self.names = cut_ports(self.design).names

    def compiled(self, graph: Any, folder: Path) -> None:
        from qdeploy.dataflow.compile import compile_graph
        from qdeploy.devices.boards import load_board

        compile_graph(graph, load_board("pynq-z2"), folder, fps=self.fps)

    def account(self, kind: str) -> Any:
        """The rung `layer`'s account of a kind; of swaps those of rows with thresholds, which are
        the ones that are drawn."""
        from qdeploy.verify.units.accounts import CHANNELS, FaultAccount

        units = self.trial.stimuli.values()
        drawn = [
            one.account
            for one in units
            if kind != CHANNELS or (one.unit.matrix is not None and one.unit.thresholds is not None)
        ]
        return FaultAccount.of(drawn)[kind]

    def found(self, broken: Any) -> tuple[bool, bool] | None:
        """Whether RTL tells a network from the right one with frames, and layer by layer; None
        where its memories are of another shape."""
        from qdeploy.verify.compare import compare
        from qdeploy.verify.rungs.layer import drive
        from qdeploy.verify.units.trial import findings

        folder = self.scratch / "broken"
        self.compiled(broken, folder)
        memories = {
            name: (folder / name).read_bytes() for name in self.good if (folder / name).is_file()
        }
        shutil.rmtree(folder)
        same_size = {name: len(data) for name, data in memories.items()} == {
            name: len(data) for name, data in self.good.items()
        }
        if not same_size:
            return None
        if memories == self.good:
            # A threshold out of reach is stored nowhere.
            return False, False
        for name, data in memories.items():
            (self.folder / name).write_bytes(data)
        result = self.model.run(self.frames, stall_in=STALL, stall_out=STALL, seed=1)
        driven = drive(self.model.simulator, self.design, self.trial, self.names, 1)
        for name, data in self.good.items():
            (self.folder / name).write_bytes(data)
        alone = findings(self.design, self.trial, driven, self.names, self.trial.stimuli)
        actual = {**result.taps, self.graph.output: result.outputs}
        differs = compare(self.graph.boundaries(), self.right, actual).mismatches > 0
        return differs, bool(alone)


Drawn = Iterator[tuple[str, Any, bool]]


def _with(graph: Any, changes: dict[str, Any]) -> Any:
    nodes = tuple(replace(n, **changes[n.name]) if n.name in changes else n for n in graph.nodes)
    return replace(graph, nodes=nodes)


def _weights(graph: Any, faults: Any, draw: random.Random) -> Drawn:
    nodes = {node.name: node for node in graph.nodes}
    places = [
        (name, tuple(int(i) for i in at))
        for name, one in faults.weights.items()
        for at in np.argwhere(one.faults)
    ]
    while True:
        name, (side, group, row, column) = draw.choice(places)
        node, one = nodes[name], faults.weights[name]
        weights = node.weights.copy()
        output = group * one.faults.shape[2] + row
        at = (output, column)
        if weights.ndim == 4:
            _, channels, _, width = weights.shape
            pixel, channel = divmod(column, channels)
            at = (output, channel, *divmod(pixel, width))
        weights[at] += one.change if side == 0 else -one.change
        computed = not bool(one.open[side, group, row, column])
        yield f"{name} weight {at}", _with(graph, {name: {"weights": weights}}), computed


def _levels(graph: Any, faults: Any, draw: random.Random) -> Drawn:
    nodes = {node.name: node for node in graph.nodes}
    places = [
        (name, at) for name, one in faults.levels.items() for at in np.ndindex(*one.open.shape)
    ]
    while True:
        name, (side, channel, level) = draw.choice(places)
        node = nodes[name]
        table = node.thresholds.copy()
        table[channel, level] += 1 if side == 0 else -1
        computed = not bool(faults.levels[name].open[side, channel, level])
        changes = {name: {"thresholds": np.sort(table)}}
        yield f"{name} threshold {channel}, {level}", _with(graph, changes), computed


def _swaps(graph: Any, faults: Any, draw: random.Random) -> Drawn:
    """Two rows of a layer, with their thresholds."""
    chains = [
        (node, next(n for n in graph.nodes if n.inputs == (node.output,)))
        for node in graph.nodes
        if hasattr(node, "weights") and getattr(node, "groups", 1) == 1
        if [type(n).__name__ for n in graph.consumers(node.output)] == ["Threshold"]
    ]
    while True:
        node, after = draw.choice(chains)
        order = np.arange(len(node.weights))
        i, j = sorted(draw.sample(range(len(order)), 2))
        order[[i, j]] = j, i
        changes = {
            node.name: {"weights": node.weights[order]},
            after.name: {"thresholds": after.thresholds[order]},
        }
        groups = faults.groups[after.output].groups
        yield f"{node.name} rows {i} and {j}", _with(graph, changes), bool(groups[i] != groups[j])
