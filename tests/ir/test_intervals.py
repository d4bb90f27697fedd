"""Intervals of sums against brute force, and against frames built to reach their ends."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worst_frames import worst_frames

from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import Conv, Dense, IntegerGraph, IntType, Tensor
from qdeploy.ir.intervals import (
    Intervals,
    accumulator_intervals,
    convolution_intervals,
    magnitude,
    node_intervals,
)
from qdeploy.ir.reference import run_reference
from qdeploy.ir.rules import check_graph

# Height and width with few enough maps to try them all.
SMALL_MAPS = ((1, 1), (1, 4), (2, 2), (3, 2), (5, 1))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-7, 7), min_size=1, max_size=4), st.integers(-3, 3), st.integers(0, 3))
def test_the_interval_is_exactly_what_brute_force_finds(row: list[int], lo: int, more: int) -> None:
    sums = [
        sum(w * a for w, a in zip(row, inputs, strict=True))
        for inputs in itertools.product(range(lo, lo + more + 1), repeat=len(row))
    ]
    found = accumulator_intervals(np.array([row]), lo, lo + more)
    assert (found.lo[0], found.hi[0]) == (min(sums), max(sums))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(SMALL_MAPS), st.integers(-2, 2), st.integers(0, 2))
def test_a_convolution_over_all_maps_reaches_both_ends_of_every_channel(
    data: st.DataObject, sizes: tuple[int, int], lo: int, more: int
) -> None:
    """Any stride, dilation and padding: also where no window lies inside the map."""
    pads = tuple(data.draw(st.integers(0, 2)) for _ in range(4))
    stride = tuple(data.draw(st.integers(1, 3)) for _ in range(2))
    dilation = tuple(data.draw(st.integers(1, 2)) for _ in range(2))
    kernel = tuple(
        data.draw(st.integers(1, min(3, (size + pads[a] + pads[a + 2] - 1) // dilation[a] + 1)))
        for a, size in enumerate(sizes)
    )
    values = st.lists(st.integers(-3, 3), min_size=2 * kernel[0] * kernel[1], max_size=99)
    weights = np.resize(np.array(data.draw(values)), (2, 1, *kernel))
    node = Conv("conv", "conv", ("x",), "acc", weights, stride, pads, dilation)
    source = Tensor("x", (1, *sizes), IntType.holding(lo, lo + more), lo, lo + more)
    found = node_intervals(node, source)
    graph = IntegerGraph("g", "x", "acc", (node,), {"x": source})
    codes = range(lo, lo + more + 1)
    maps = np.array(list(itertools.product(codes, repeat=source.size))).reshape(-1, *source.shape)
    sums = run_reference(graph, maps)["acc"]
    assert found.lo == tuple(sums.min(axis=(0, 2, 3)))
    assert found.hi == tuple(sums.max(axis=(0, 2, 3)))


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([(1, 5, 7), (3, 4, 4), (7, 1, 9), (4, 6, 2)]),
    st.integers(1, 8),
    st.booleans(),
    st.booleans(),
    st.integers(0, 10_000),
)
def test_frames_built_from_the_signs_of_the_weights_reach_the_interval(
    shape: tuple[int, ...], bits: int, signed: bool, depthwise: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    dtype = IntType(bits, signed)
    source = Tensor("x", shape, dtype, dtype.lo, dtype.hi)
    kernel = tuple(int(rng.integers(1, min(3, size) + 1)) for size in shape[1:])
    count = shape[0] if depthwise else 5
    weights = rng.integers(-128, 128, (count, 1 if depthwise else shape[0], *kernel))
    pads = tuple(int(v) for v in rng.integers(0, 3, 4))
    stride = tuple(int(v) for v in rng.integers(1, 4, 2))
    groups = shape[0] if depthwise else 1
    node = Conv("conv", "conv", ("x",), "acc", weights, stride, pads, (1, 1), groups)
    found = node_intervals(node, source)
    for channel in range(count):
        frames = worst_frames(node, source, channel)
        sums = run_reference(IntegerGraph("g", "x", "acc", (node,), {"x": source}), frames)
        of_channel = sums["acc"][:, channel]
        assert (of_channel.min(), of_channel.max()) == (found.lo[channel], found.hi[channel])


def test_taps_that_only_meet_padding_do_not_widen_a_dilated_convolution() -> None:
    """3x3 at dilation 5 on 4x4 pixels: only the middle of the kernel is ever inside."""
    weights = np.full((1, 1, 3, 3), 7)
    weights[0, 0, 1, 1] = 2
    found = convolution_intervals(weights, 0, 3, (4, 4), (1, 1), (5, 5, 5, 5), (5, 5))
    assert found == Intervals((0,), (6,))


def test_padding_counts_where_the_codes_never_are_zero() -> None:
    weights = np.array([[[[1, 1]]]])
    assert convolution_intervals(weights, 2, 3, (1, 3)) == Intervals((4,), (6,))
    padded = convolution_intervals(weights, 2, 3, (1, 3), pads=(0, 1, 0, 0))
    assert padded == Intervals((2,), (6,))


def test_a_convolution_without_windows_is_a_broken_promise() -> None:
    with pytest.raises(PassError, match="without windows"):
        convolution_intervals(np.ones((1, 1, 3, 3), np.int64), 0, 1, (2, 2))


def test_every_channel_has_its_own_interval() -> None:
    found = accumulator_intervals(np.array([[1, -2], [3, 3]]), 0, 10)
    assert (found.lo, found.hi) == ((-20, 0), (10, 60))
    assert found.bounds == (-20, 60)


def test_negated_channels_swap_and_turn_their_bounds() -> None:
    found = accumulator_intervals(np.array([[1, -2], [3, 3]]), 0, 10)
    negated = found.negated(frozenset({0}))
    assert (negated.lo, negated.hi) == ((-10, 0), (20, 60))


def test_large_products_do_not_overflow() -> None:
    weights = np.full((1, 4), 2**40)
    found = accumulator_intervals(weights, -(2**40), 2**40)
    assert found.hi == (4 * 2**80,)
    assert magnitude(weights, 0, 2**40) == [4 * 2**80]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=12), st.integers(-4, 4), st.integers(0, 4))
def test_partial_sums_in_any_order_stay_below_the_magnitude(
    row: list[int], lo: int, more: int
) -> None:
    weights = np.array([row])
    bound = magnitude(weights, lo, lo + more)[0]
    ends = np.where(weights[0] > 0, [[lo], [lo + more]], [[lo + more], [lo]])
    for order in (weights[0].argsort(), weights[0].argsort()[::-1], np.arange(len(row))):
        partial = np.cumsum((weights[0] * ends)[:, order], axis=1)
        assert np.abs(partial).max() <= bound


def test_a_graph_with_an_interval_that_is_too_small_is_found() -> None:
    """The tensor's own range has to lie within its type; the lowering's intervals do."""
    node = Dense("fc", "fc", ("x",), "acc", np.array([[3, -3]]))
    x = Tensor("x", (2,), IntType(2, False), 0, 3, Fraction(1))
    found = node_intervals(node, x)
    good = Tensor("acc", (1,), IntType.holding(*found.bounds), *found.bounds)
    check_graph(IntegerGraph("g", "x", "acc", (node,), {"x": x, "acc": good}))
    narrow = Tensor("acc", (1,), IntType(good.dtype.bits - 1, True), *found.bounds)
    with pytest.raises(PassError, match=r"codes \[-9, 9\] do not fit 4 bits"):
        check_graph(IntegerGraph("g", "x", "acc", (node,), {"x": x, "acc": narrow}))


sum_ends = st.integers(-3, 3)


@settings(max_examples=40, deadline=None)
@given(sum_ends, sum_ends, sum_ends, sum_ends, st.integers(1, 4))
def test_intervals_of_sums_are_exactly_what_brute_force_finds(
    a: int, b: int, c: int, d: int, pixels: int
) -> None:
    left, right = sorted((a, b)), sorted((c, d))
    found = Intervals((left[0],), (left[1],)).plus(Intervals((right[0],), (right[1],)))
    sums = [x + y for x in range(left[0], left[1] + 1) for y in range(right[0], right[1] + 1)]
    assert found.bounds == (min(sums), max(sums))
    means = [sum(p) for p in itertools.product(range(left[0], left[1] + 1), repeat=pixels)]
    assert Intervals((left[0],), (left[1],)).times(pixels).bounds == (min(means), max(means))
