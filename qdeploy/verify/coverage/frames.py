"""Single faults of a network, and which of them frames have shown at a boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import (
    Bias,
    Conv,
    Dense,
    IntArray,
    IntegerGraph,
    MaxPool,
    Threshold,
)
from qdeploy.ir.reference import count_thresholds, evaluate
from qdeploy.verify.coverage.chains import Chain, chain_of
from qdeploy.verify.coverage.shifts import shifted, shifts_of
from qdeploy.verify.coverage.windows import (
    as_map,
    as_positions,
    exact_type,
    grouped_weights,
    sums_of,
    windows,
)
from qdeploy.verify.units.accounts import (
    BIASES,
    CHANNELS,
    KINDS,
    THRESHOLDS,
    WEIGHTS,
    WINDOWS,
    FaultCount,
)
from qdeploy.verify.units.channels import ChannelGroups
from qdeploy.verify.units.levels import HIGHER, LOWER, Levels
from qdeploy.verify.units.pairs import same_function
from qdeploy.verify.units.ranges import channel_range
from qdeploy.verify.units.redundant import outside, redundant_levels, redundant_weights
from qdeploy.verify.units.row import Row
from qdeploy.verify.units.weights import WeightFaults, weight_change, weight_range

# Inputs of sums that are in memory at a time, and frames.
_MOST_INPUTS, _FRAMES = 1 << 22, 50
_MOST_PAIRS = 10_000

Bits = npt.NDArray[np.uint8]


class FrameFaults:
    """Faults of every layer, and what the frames so far have shown of them.

    weights     one step higher or lower, within what the layer's weights can be
    thresholds  one higher or lower
    biases      one higher or lower
    channels    two channels of a boundary swapped
    windows     of a convolution or pool, one pixel off in one of four directions

    Attributes:
        weights, levels, shifts: faults not shown, by name of the node.
        biases: the same, (2, channels) higher and lower.
        groups: channels not told apart, by boundary.
    """

    def __init__(self, graph: IntegerGraph) -> None:
        self._graph = graph
        self.weights: dict[str, WeightFaults] = {}
        self._chains: dict[str, Chain] = {}
        self.levels: dict[str, Levels] = {}
        # Thresholds next to which some sum in the range of its channel is.
        self._within: dict[str, npt.NDArray[np.bool_]] = {}
        self.biases: dict[str, np.ndarray] = {}
        self.shifts: dict[str, list[tuple[int, int]]] = {}
        self._shift_total = 0
        for node in graph.nodes:
            if isinstance(node, Conv | Dense | Bias):
                self._chains[node.name] = chain_of(graph, node.output)
            if isinstance(node, Conv | Dense):
                grouped = grouped_weights(node)
                change, (lo, hi) = weight_change(node.weights), weight_range(node.weights)
                self.weights[node.name] = WeightFaults(grouped, change, lo, hi)
            if isinstance(node, Bias):
                self.biases[node.name] = np.ones((2, len(node.bias)), dtype=bool)
            if isinstance(node, Threshold):
                source = graph.tensors[node.inputs[0]]
                self.levels[node.name] = Levels(node.thresholds, source.lo, source.hi)
                all_open = np.ones_like(self.levels[node.name].open)
                ends = channel_range(graph, node.inputs[0])
                self._within[node.name] = ~outside(node.thresholds, all_open, *ends)
            self.shifts[node.name] = shifts_of(node, graph.tensors[node.inputs[0]].shape)
            self._shift_total += len(self.shifts[node.name])
        sizes = {name: graph.tensors[name].shape[0] for name in graph.boundaries()}
        self.groups = {name: ChannelGroups(size) for name, size in sizes.items() if size > 1}

    def add(self, frames: IntArray, reference: Mapping[str, npt.NDArray[np.integer]]) -> None:
        """Take in further frames and the codes at every boundary."""
        for start in range(0, len(frames), _FRAMES):
            part = slice(start, start + _FRAMES)
            wide = {name: codes[part].astype(np.int64) for name, codes in reference.items()}
            self._add({self._graph.input: frames[part]} | wide)

    def _add(self, tensors: dict[str, IntArray], *, everything: bool = True) -> None:
        """`everything`: channels and windows too."""
        counted: set[str] = set()
        # Sums that show nothing new, and that nothing else needs.
        idle: set[str] = set()
        for node in self._graph.nodes:
            if not idle.isdisjoint(node.inputs):
                if node.output not in tensors:
                    idle.add(node.output)
                if isinstance(node, Bias):
                    self._bias(node)
                continue
            inputs = [tensors[name] for name in node.inputs]
            if isinstance(node, Conv | Dense):
                chain = self._chains[node.name]
                if (
                    chain.output in tensors
                    and node.output not in tensors
                    and not self._left(chain, node)
                ):
                    idle.add(node.output)
                else:
                    tensors[node.output] = self._products(node, inputs[0])
                threshold = chain.threshold
                if threshold is not None:
                    counted.add(threshold.name)
            elif isinstance(node, Threshold):
                if node.name not in counted:
                    self.levels[node.name].add(as_positions(inputs[0]), far=False)
                if node.output not in tensors:
                    tensors[node.output] = evaluate(node, *inputs)
            elif node.output not in tensors:
                tensors[node.output] = evaluate(node, *inputs)
            if isinstance(node, Bias):
                self._bias(node)
            if isinstance(node, Conv | MaxPool) and everything and self.shifts[node.name]:
                self._shifted(node, inputs[0], tensors)
        for name, groups in self.groups.items():
            if everything:
                groups.add(tensors[name])

    def shown_by(self, frames: IntArray) -> tuple[Bits, Bits]:
        """Faults of weights, and of thresholds, that these frames show, packed; forgets others."""
        for weights in self.weights.values():
            weights.open = weights.faults.copy()
        for levels in self.levels.values():
            levels.open[:] = True
        self._add({self._graph.input: frames}, everything=False)
        shown = [one.faults & ~one.open for one in self.weights.values()]
        told = [~one.open for one in self.levels.values()]
        return _packed(shown), _packed(told)

    def _left(self, chain: Chain, node: Conv | Dense) -> bool:
        """Whether a layer has faults that a frame could still show."""
        if self.weights[node.name].open.any():
            return True
        threshold = chain.threshold
        return threshold is not None and bool(
            (self.levels[threshold.name].open & self._within[threshold.name]).any()
        )

    def _products(self, node: Conv | Dense, codes: IntArray) -> IntArray:
        """The sums of a layer; its weights' faults and its thresholds' on the way."""
        source, result = (self._graph.tensors[name] for name in (node.inputs[0], node.output))
        chain, faults = self._chains[node.name], self.weights[node.name]
        kind = exact_type(node, source.lo, source.hi) or np.dtype(np.int64)
        weights = grouped_weights(node)
        each = max(
            1, _MOST_INPUTS // (weights.shape[0] * weights.shape[2] * prod(result.shape[1:]))
        )
        found = []
        for start in range(0, len(codes), each):
            inputs = windows(node, codes[start : start + each].astype(kind))
            sums = sums_of(weights, inputs)
            found.append(sums)
            if chain.threshold is None:
                faults.observed(inputs)
            else:
                levels, wanted = self.levels[chain.threshold.name], bool(faults.open.any())
                up, down = levels.add(sums + chain.bias, far=wanted)
                if wanted:
                    faults.coded(inputs, up, down)
        return as_map(np.concatenate(found), len(codes), result.shape)

    def _bias(self, node: Bias) -> None:
        """A bias that is higher acts as thresholds that are lower."""
        threshold = self._chains[node.name].threshold
        if threshold is None:
            self.biases[node.name][:] = False
            return
        open_ = self.levels[threshold.name].open
        for side, other in ((HIGHER, LOWER), (LOWER, HIGHER)):
            self.biases[node.name][side] = open_[other].all(axis=1)

    def _shifted(
        self, node: Conv | MaxPool, codes: IntArray, tensors: Mapping[str, IntArray]
    ) -> None:
        source = self._graph.tensors[node.inputs[0]]
        chain = self._chains.get(node.name, Chain(np.zeros(1, np.int64), None, node.output))
        for index in range(len(codes)):
            if not self.shifts[node.name]:
                return
            one = slice(index, index + 1)
            right = as_positions(tensors[chain.output][one])
            kept = []
            for shift in self.shifts[node.name]:
                values = shifted(node, codes[one], shift, source.lo, source.hi) + chain.bias
                if chain.threshold is not None:
                    values = count_thresholds(
                        values, chain.threshold.thresholds, chain.threshold.base
                    )
                if np.array_equal(values, right):
                    kept.append(shift)
            self.shifts[node.name] = kept

    def seen(self) -> dict[str, FaultCount]:
        """Faults of each kind that there are, and that were seen; none redundant yet."""
        weights = self.weights.values()
        levels, biases = self.levels.values(), self.biases.values()
        pairs = [(len(g.groups), len(g.pairs())) for g in self.groups.values()]
        everything = {
            WEIGHTS: [(int(w.faults.sum()), int(w.open.sum())) for w in weights],
            THRESHOLDS: [(one.open.size, int(one.open.sum())) for one in levels],
            BIASES: [(one.size, int(one.sum())) for one in biases],
            CHANNELS: [(n * (n - 1) // 2, left) for n, left in pairs],
            WINDOWS: [(self._shift_total, sum(len(one) for one in self.shifts.values()))],
        }
        return {
            kind: FaultCount(sum(t for t, _ in parts), sum(t - o for t, o in parts))
            for kind, parts in everything.items()
        }

    def redundant(self) -> dict[str, int]:
        """Of the faults that were not seen, those that no input can show, by kind."""
        found = dict.fromkeys(KINDS, 0)
        proved: set[str] = set()
        for node in self._graph.nodes:
            if not isinstance(node, Conv | Dense):
                continue
            chain, faults = self._chains[node.name], self.weights[node.name]
            rows = self._rows(node)
            for group, own in enumerate(rows):
                if chain.threshold is None:
                    break
                hidden = redundant_weights(own, faults.open[:, group], faults.change)
                found[WEIGHTS] += int(hidden.sum())
            if chain.threshold is not None:
                levels = self.levels[chain.threshold.name]
                flat = [row for own in rows for row in own]
                table = levels.table - np.broadcast_to(chain.bias, len(flat))[:, None]
                found[THRESHOLDS] += int(redundant_levels(flat, table, levels.open).sum())
                found[CHANNELS] += self._alike(chain.output, flat)
                proved.add(chain.threshold.name)
        for node in self._graph.nodes:
            if isinstance(node, Threshold) and node.name not in proved:
                levels = self.levels[node.name]
                ends = channel_range(self._graph, node.inputs[0])
                found[THRESHOLDS] += int(outside(levels.table, levels.open, *ends).sum())
        return found

    def _rows(self, node: Conv | Dense) -> list[list[Row]]:
        """Rows of each group; inputs in the range of the codes, or 0 where there is padding."""
        chain, source = self._chains[node.name], self._graph.tensors[node.inputs[0]]
        lo, hi = source.lo, source.hi
        if isinstance(node, Conv) and any(node.pads):
            lo, hi = min(lo, 0), max(hi, 0)
        weights = grouped_weights(node)
        count = weights.shape[0] * weights.shape[1]
        table = np.zeros((count, 0), dtype=np.int64)
        if chain.threshold is not None:
            table = chain.threshold.thresholds - np.broadcast_to(chain.bias, count)[:, None]
        each = weights.shape[1]
        return [
            [
                Row(row, table[group * each + index], lo, hi)
                for index, row in enumerate(weights[group])
            ]
            for group in range(len(weights))
        ]

    def _alike(self, output: str, rows: list[Row]) -> int:
        """Pairs of channels not told apart that are one function of the same inputs."""
        groups = self.groups.get(output)
        if groups is None or len(rows) != len(groups.groups):
            return 0
        return sum(same_function(rows[i], rows[j]) for i, j in groups.pairs()[:_MOST_PAIRS])


def _packed(parts: Sequence[npt.NDArray[np.bool_]]) -> Bits:
    return np.packbits(np.concatenate([np.zeros(0, bool), *(part.ravel() for part in parts)]))
