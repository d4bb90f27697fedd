"""Frames that drive sums to the ends of their intervals, through RTL: nothing overflows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from worst_frames import worst_frames

from qdeploy.dataflow.compile import compile_graph
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import (
    Add,
    Conv,
    Dense,
    GlobalSum,
    IntArray,
    IntegerGraph,
    IntType,
    Tensor,
    Threshold,
)
from qdeploy.ir.intervals import node_intervals
from qdeploy.ir.reference import run_reference
from qdeploy.ir.rules import check_graph
from qdeploy.sim.design import simulate_design

SLOW, FAST = 3e3, 1e6


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Verilator's runtime and the driver are compiled once for all models here."""
    return tmp_path_factory.mktemp("models")


def tensor(name: str, shape: tuple[int, ...], lo: int, hi: int) -> Tensor:
    return Tensor(name, shape, IntType.holding(lo, hi), lo, hi, Fraction(1))


def with_sums(node: Conv | Dense, source: Tensor, shape: tuple[int, ...]) -> IntegerGraph:
    """The raw sums of one layer: nothing after them hides a bit that is missing."""
    tensors = {"x": source, "acc": tensor("acc", shape, *node_intervals(node, source).bounds)}
    return IntegerGraph("worst", "x", "acc", (node,), tensors)


def with_codes(node: Conv | Dense, source: Tensor, shape: tuple[int, ...]) -> IntegerGraph:
    """Thresholds at both ends of every channel's interval and one step beyond."""
    found = node_intervals(node, source)
    rows = [(lo, lo + 1, hi, hi + 1) for lo, hi in zip(found.lo, found.hi, strict=True)]
    table = np.sort(np.clip(rows, None, np.array(found.hi)[:, None] + 1), axis=1)
    graph = with_sums(node, source, shape)
    graph.tensors["code"] = tensor("code", shape, 0, 4)
    threshold = Threshold("act", "act", ("acc",), "code", table, 0)
    return IntegerGraph("worst", "x", "code", (*graph.nodes, threshold), graph.tensors)


def assert_rtl_equals(
    graph: IntegerGraph, frames: IntArray, folder: Path, models: Path, fps: float
) -> None:
    check_graph(graph)
    expected = run_reference(graph, frames)
    compiled = compile_graph(graph, load_board("pynq-z2"), folder / "rtl", fps=fps)
    simulator = simulate_design(folder / "rtl", compiled.design, models, optimize="-O0")
    run = simulator.run(frames, stall_in=0.2, stall_out=0.2, seed=1)
    for name in graph.boundaries():
        found = run.outputs if name == graph.output else run.taps[name]
        assert_array_equal(found, expected[name], err_msg=name)


def reaching(node: Conv | Dense, source: Tensor) -> IntArray:
    """The frames of all channels; checked to reach the interval the widths are made from."""
    found = node_intervals(node, source)
    frames = [worst_frames(node, source, channel) for channel in range(len(node.weights))]
    together = np.concatenate(frames)
    sums = run_reference(IntegerGraph("g", "x", "acc", (node,), {}), together)["acc"]
    assert (int(sums.min()), int(sums.max())) == found.bounds
    return together


@pytest.mark.parametrize("make", [with_sums, with_codes])
@pytest.mark.parametrize("depthwise", [False, True])
def test_a_convolution_reaches_the_ends_of_its_accumulator(
    make, depthwise: bool, models: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    weights = rng.integers(-127, 128, (3, 1 if depthwise else 3, 3, 2))
    pads, stride, groups = (1, 0, 1, 1), (2, 1), 3 if depthwise else 1
    node = Conv("conv", "conv", ("x",), "acc", weights, stride, pads, (1, 1), groups)
    source = tensor("x", (3, 3, 3), 0, 255)
    graph = make(node, source, (3, 2, 3))
    assert_rtl_equals(graph, reaching(node, source), tmp_path, models, SLOW)


@pytest.mark.parametrize("fps", [SLOW, FAST])
def test_sums_that_fill_their_type_to_the_last_code_do_not_overflow(
    fps: float, models: Path, tmp_path: Path
) -> None:
    """Rows of weights whose sums run from -2^7 to 2^7 - 1 on single bits."""
    rows = np.array([[100, 27, -100, -28], [127, 0, -127, -1], [-128, 64, 32, 31]])
    node, source = Dense("fc", "fc", ("x",), "acc", rows), tensor("x", (4,), 0, 1)
    graph = with_sums(node, source, (3,))
    held = graph.tensors["acc"]
    assert (held.lo, held.hi) == (held.dtype.lo, held.dtype.hi) == (-128, 127)
    assert_rtl_equals(graph, reaching(node, source), tmp_path, models, fps)


def test_partial_sums_beyond_the_interval_wrap_and_come_back(models: Path, tmp_path: Path) -> None:
    """Codes 2 and 3: on the way sums get to 18, in the end never beyond 6."""
    row = np.array([[1] * 6 + [-1] * 6])
    node, source = Dense("fc", "fc", ("x",), "acc", row), tensor("x", (12,), 2, 3)
    graph = with_sums(node, source, (1,))
    assert graph.tensors["acc"].dtype == IntType(4, True)
    assert_rtl_equals(graph, reaching(node, source), tmp_path, models, SLOW)


@pytest.mark.parametrize(("lo", "hi"), [(0, 3), (-4, 3)])
def test_branches_and_pixels_at_their_ends_do_not_overflow(
    lo: int, hi: int, models: Path, tmp_path: Path
) -> None:
    shape, pixels = (2, 3, 3), 9
    steps = np.array([range(lo + 1, hi + 1)] * 2)
    nodes = (
        Threshold("same", "same", ("x",), "code", steps, lo),
        Add("join", "join", ("x", "code"), "sum"),
        GlobalSum("pool", "pool", ("sum",), "total"),
    )
    tensors = {
        "x": tensor("x", shape, lo, hi),
        "code": tensor("code", shape, lo, hi),
        "sum": tensor("sum", shape, 2 * lo, 2 * hi),
        "total": tensor("total", shape[:1], 2 * lo * pixels, 2 * hi * pixels),
    }
    frames = np.stack([np.full(shape, lo), np.full(shape, hi), np.full(shape, lo)])
    graph = IntegerGraph("worst", "x", "total", nodes, tensors)
    assert_rtl_equals(graph, frames, tmp_path, models, SLOW)
