"""Directed frames: the first few show more faults than as many others, and none gets lost."""

from __future__ import annotations

import numpy as np
import pytest
from random_graphs import small_convnet, small_mlp, small_mobilenet

from qdeploy.errors import InternalError
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.ir.reference import run_reference
from qdeploy.verify.coverage import directed
from qdeploy.verify.coverage.directed import telling_order
from qdeploy.verify.coverage.frames import FrameFaults
from qdeploy.verify.frames import Frames


def _seen(graph: IntegerGraph, frames: IntArray) -> dict[str, int]:
    faults = FrameFaults(graph)
    faults.add(frames, run_reference(graph, frames))
    return {kind: count.seen for kind, count in faults.seen().items()}


@pytest.mark.parametrize("make", [small_convnet, small_mlp, small_mobilenet])
def test_few_frames_in_order_show_more_than_as_many_as_they_came(make) -> None:
    maker = make()
    graph, frames = maker.graph(), maker.frames(60)
    order = telling_order(graph, frames, 10)
    assert sorted(order.tolist()) == list(range(60))
    assert (np.diff(order[10:]) > 0).all()
    for count in (3, 10):
        before, after = _seen(graph, frames[:count]), _seen(graph, frames[order[:count]])
        assert after["weights"] > before["weights"]
        assert after["thresholds"] > before["thresholds"]
    assert np.array_equal(order, telling_order(graph, frames, 10))


def test_the_first_frame_is_the_one_that_shows_most_and_the_second_adds_most() -> None:
    maker = small_mlp()
    graph, frames = maker.graph(), maker.frames(12)
    everything = _seen(graph, frames)

    def worth(chosen: list[int]) -> float:
        seen = _seen(graph, frames[chosen])
        return sum(seen[kind] / everything[kind] for kind in ("weights", "thresholds"))

    order = telling_order(graph, frames, 12).tolist()
    for count in range(1, 6):
        before = order[: count - 1]
        gains = [worth([*before, one]) for one in order[count - 1 :]]
        assert gains[0] == max(gains)


def test_of_a_large_network_the_frames_beyond_the_bound_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maker = small_mlp()
    graph, frames = maker.graph(), maker.frames(20)
    monkeypatch.setattr(directed, "MOST_FRAMES", 8)
    order = telling_order(graph, frames, 5)
    assert order[8:].tolist() == list(range(8, 20))
    monkeypatch.setattr(directed, "MOST_PRODUCTS", 1)
    assert telling_order(graph, frames, 5).tolist() == list(range(20))


def test_everything_of_a_frame_goes_where_it_goes() -> None:
    codes = np.arange(5).reshape(5, 1)
    frames = Frames(codes, codes * 10, codes[:, 0] * 100, "x", tested=4, masks=codes[:4] * 7)
    moved = frames.ordered(np.array([2, 0, 1]))
    assert moved.codes[:, 0].tolist() == [2, 0, 1, 3, 4]
    assert moved.raw[:, 0].tolist() == [20, 0, 10, 30, 40]
    assert moved.labels.tolist() == [200, 0, 100, 300, 400]
    assert moved.masks is not None
    assert moved.masks[:, 0].tolist() == [14, 0, 7, 21]
    assert moved.tested == 4
    with pytest.raises(InternalError):
        frames.ordered(np.array([4, 0, 1, 2, 3]))
