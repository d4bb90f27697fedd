"""Coverage of frames: what is counted as seen is what running every broken network gives."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from memory_designs import many_levels, uneven
from random_graphs import (
    GraphMaker,
    small_convnet,
    small_mlp,
    small_mobilenet,
    small_resnet,
)

from qdeploy.ir.integer_graph import Bias, Conv, Dense, IntArray, IntegerGraph, Node, Threshold
from qdeploy.ir.reference import evaluate, run_reference
from qdeploy.verify.coverage.chains import Chain
from qdeploy.verify.coverage.counted import FrameCoverage, products_per_frame
from qdeploy.verify.coverage.frames import FrameFaults
from qdeploy.verify.units.weights import weight_change

NETWORKS = {
    "convnet": small_convnet,
    "mlp": small_mlp,
    "resnet": small_resnet,
    "mobilenet": small_mobilenet,
    "uneven": uneven,
    "many_levels": many_levels,
}
FRAMES = 3


def _with(graph: IntegerGraph, node: Node, **arrays: IntArray) -> IntegerGraph:
    nodes = tuple(replace(one, **arrays) if one is node else one for one in graph.nodes)
    return replace(graph, nodes=nodes)


def _changed(array: IntArray, at: tuple[int, ...], change: int) -> IntArray:
    other = array.copy()
    other[at] += change
    return other


def _edited(array: IntArray, at: tuple[int, ...], step: int) -> IntArray:
    changed = _changed(array, at, step)
    return np.sort(changed) if array.ndim == 2 else changed


class _Network:
    """A network, frames, and what running it with a fault changes."""

    def __init__(self, name: str) -> None:
        maker = NETWORKS[name]()
        self.graph = maker.graph()
        self.frames = maker.frames(FRAMES)
        self.right = run_reference(self.graph, self.frames)
        self.faults = FrameFaults(self.graph)
        # In two parts: what the first has shown stays shown.
        for part in (slice(0, 1), slice(1, None)):
            codes = {key: values[part] for key, values in self.right.items()}
            self.faults.add(self.frames[part], codes)

    def shown(self, broken: IntegerGraph) -> bool:
        found = run_reference(broken, self.frames)
        return any((found[name] != self.right[name]).any() for name in self.right)


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> _Network:
    return _Network(request.param)


def _some(count: int, shape: tuple[int, ...], draw: random.Random) -> list[tuple[int, ...]]:
    places = list(np.ndindex(*shape))
    return draw.sample(places, min(count, len(places)))


def test_weights_counted_as_seen_are_those_whose_fault_changes_a_code(network: _Network) -> None:
    draw, both = random.Random(1), set()
    for node in network.graph.nodes:
        if not isinstance(node, Conv | Dense):
            continue
        faults, change = network.faults.weights[node.name], weight_change(node.weights)
        rows = len(node.weights) // faults.faults.shape[1]
        for at in _some(25, node.weights.shape, draw):
            for side, step in ((0, change), (1, -change)):
                # The columns of a row are (ky, kx, channel).
                inside = (at[2], at[3], at[1]) if len(at) == 4 else at[1:]
                moved = node.weights.transpose(0, 2, 3, 1) if len(at) == 4 else node.weights
                column = int(np.ravel_multi_index(inside, moved.shape[1:]))
                place = (side, at[0] // rows, at[0] % rows, column)
                if not faults.faults[place]:
                    continue
                broken = _with(network.graph, node, weights=_changed(node.weights, at, step))
                shown = network.shown(broken)
                assert shown != faults.open[place], (node.name, at, step)
                both.add(shown)
    assert both == {True, False}


def test_thresholds_and_biases_counted_as_seen_are_those_whose_fault_changes_a_code(
    network: _Network,
) -> None:
    draw, both = random.Random(2), set()
    for node in network.graph.nodes:
        key = {Threshold: "thresholds", Bias: "bias"}.get(type(node))
        if key is None:
            continue
        array = getattr(node, key)
        left = network.faults.biases if key == "bias" else network.faults.levels
        open_ = left[node.name] if key == "bias" else left[node.name].open
        for at in _some(25, array.shape, draw):
            for side, step in ((0, 1), (1, -1)):
                # A table in order counts the same, and is what can be searched.
                broken = _with(network.graph, node, **{key: _edited(array, at, step)})
                shown = network.shown(broken)
                assert shown != open_[(side, *at)], (node.name, at, step)
                both.add(shown)
    assert both == {True, False}


def test_channels_counted_as_told_apart_have_other_codes(network: _Network) -> None:
    for name, groups in network.faults.groups.items():
        codes = network.right[name]
        alike = {
            (i, j)
            for i in range(codes.shape[1])
            for j in range(i + 1, codes.shape[1])
            if (codes[:, i] == codes[:, j]).all()
        }
        assert set(groups.pairs()) == alike


def test_windows_counted_as_seen_are_those_whose_shift_changes_a_code() -> None:
    maker = GraphMaker(0, (2, 6, 6), bits=4).conv(3).threshold().max_pool()
    graph, still = maker.graph(), np.zeros((1, 2, 6, 6), dtype=np.int64)
    faults = FrameFaults(graph)
    faults.add(still, run_reference(graph, still))
    # A map without contrast: a shift shows at the padding only, and there is none of code 0.
    assert faults.seen()["windows"].seen == 0
    frames = maker.frames(4)
    right = run_reference(graph, frames)
    faults.add(frames, right)
    conv = next(node for node in graph.nodes if isinstance(node, Conv))
    padded = np.pad(frames, ((0, 0), (0, 0), (1, 1), (1, 1)))
    plain = replace(conv, pads=(0, 0, 0, 0))
    table = next(node for node in graph.nodes if isinstance(node, Threshold))
    for axis, way in ((2, 1), (2, -1), (3, 1), (3, -1)):
        codes = evaluate(table, evaluate(plain, np.roll(padded, way, axis)))
        hidden = bool((codes == right[table.output]).all())
        assert ((axis - 1, way) in faults.shifts[conv.name]) == hidden
    assert faults.seen()["windows"] == replace(faults.seen()["windows"], total=8, seen=8)


def _tiny(seed: int) -> tuple[IntegerGraph, IntArray]:
    """A network of which every frame can be run."""
    maker = GraphMaker(seed, (4,), bits=2).dense(5, weight_bits=3).threshold(bits=2)
    graph = maker.dense(3, weight_bits=2).threshold(bits=1).graph()
    return graph, np.array(list(product(range(4), repeat=4)), dtype=np.int64)


@pytest.mark.parametrize("seed", range(6))
def test_redundant_faults_are_those_of_the_first_layer_that_no_frame_shows(seed: int) -> None:
    graph, frames = _tiny(seed)
    first = graph.nodes[:2]
    head = replace(graph, nodes=first, output=first[-1].output)
    faults = FrameFaults(head)
    faults.add(frames, run_reference(head, frames))
    seen, redundant = faults.seen(), faults.redundant()
    for kind in ("weights", "thresholds"):
        assert seen[kind].total - seen[kind].seen == redundant[kind]
        assert redundant[kind] > 0
    few = FrameFaults(head)
    few.add(frames[:3], run_reference(head, frames[:3]))
    assert few.redundant() == redundant | {"channels": few.redundant()["channels"]}


@pytest.mark.parametrize("seed", range(6))
def test_no_fault_that_a_frame_shows_is_called_redundant(seed: int) -> None:
    graph, frames = _tiny(seed)
    some, every = FrameFaults(graph), FrameFaults(graph)
    some.add(frames[:1], run_reference(graph, frames[:1]))
    every.add(frames, run_reference(graph, frames))
    seen, redundant = every.seen(), some.redundant()
    for kind, count in seen.items():
        assert count.seen + redundant[kind] <= count.total


def test_the_coverage_of_some_frames_is_the_same_in_whatever_order_it_is_asked_for() -> None:
    maker = small_convnet()
    graph, frames = maker.graph(), maker.frames(40)
    right = run_reference(graph, frames)
    counted = FrameCoverage(graph, frames, right, (5, 40))
    all_first = counted.first(40), counted.first(5), counted.first(3)
    rising = FrameCoverage(graph, frames, right)
    assert all_first[::-1] == tuple(rising.first(count) for count in (3, 5, 40))
    shares = [one.faults.shares()["weights"] for one in all_first]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[2]
    assert "biases" not in all_first[0].faults.shares()


class _Counted(FrameFaults):
    """Counts how often sums were looked at."""

    looked = 0

    def _products(self, node: Conv | Dense, codes: IntArray) -> IntArray:
        self.looked += 1
        return super()._products(node, codes)


class _Always(_Counted):
    def _left(self, chain: Chain, node: Conv | Dense) -> bool:
        return True


def test_layers_that_show_nothing_new_are_left_out_and_nothing_is_lost() -> None:
    maker = many_levels()
    graph, frames = maker.graph(), maker.frames(60)
    right, made = run_reference(graph, frames), []
    for kind in (_Counted, _Always):
        faults = kind(graph)
        for index in range(len(frames)):
            one = slice(index, index + 1)
            faults.add(frames[one], {name: codes[one] for name, codes in right.items()})
        made.append(faults)
    some, always = made
    assert (some.seen(), some.redundant()) == (always.seen(), always.redundant())
    assert some.looked < always.looked


def test_of_a_large_network_as_many_frames_are_looked_at_as_there_is_time_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maker = small_convnet()
    graph, frames = maker.graph(), maker.frames(40)
    right = run_reference(graph, frames)
    exact = FrameCoverage(graph, frames, right).first(7)
    most = 7 * products_per_frame(graph)
    monkeypatch.setattr("qdeploy.verify.coverage.counted.MOST_PRODUCTS", most)
    assert FrameCoverage(graph, frames, right).first(40) == exact
    assert exact.record()["frames"] == 7


def test_negative_and_wide_inputs_are_counted_by_comparing() -> None:
    """Inputs of 8 bits before thresholds: no float type holds the powers."""
    maker = GraphMaker(2, (3, 5, 5), bits=8)
    maker.threshold(bits=8, base=-128).conv(4, weight_bits=8).threshold(bits=7)
    graph, frames = maker.graph(), maker.frames(2)
    right = run_reference(graph, frames)
    faults = FrameFaults(graph)
    faults.add(frames, right)
    conv = next(node for node in graph.nodes if isinstance(node, Conv))
    open_ = faults.weights[conv.name].open
    draw, both = random.Random(4), set()
    for at in _some(60, conv.weights.shape, draw):
        column = int(np.ravel_multi_index((at[2], at[3], at[1]), (3, 3, 3)))
        for side, step in ((0, 1), (1, -1)):
            if not faults.weights[conv.name].faults[side, 0, at[0], column]:
                continue
            broken = _with(graph, conv, weights=_changed(conv.weights, at, step))
            found = run_reference(broken, frames)
            shown = any((found[name] != right[name]).any() for name in right)
            assert shown != open_[side, 0, at[0], column]
            both.add(shown)
    assert both == {True, False}
