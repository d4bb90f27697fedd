"""Integer graphs as ONNX files: equal to the reference at every optimization level."""

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from hand_made_graphs import block, graph_of, tensor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qdeploy.codegen.onnx.model import emit_onnx, integer_model
from qdeploy.codegen.onnx.session import OPTIMIZATION_LEVELS, IntSimulator
from qdeploy.ir.integer_graph import (
    Add,
    Bias,
    Conv,
    Dense,
    GlobalSum,
    IntegerGraph,
    IntType,
    MaxPool,
    Tensor,
    Threshold,
)
from qdeploy.ir.intervals import Intervals, accumulator_intervals, node_intervals
from qdeploy.ir.reference import run_reference
from qdeploy.ir.rules import check_graph
from qdeploy.lowering.integers.quantizer import Quantizer
from qdeploy.lowering.integers.thresholds import threshold_table


def one_layer(
    weights: np.ndarray, extra: str, levels: int, shape: tuple[int, ...], gain: Fraction
) -> IntegerGraph:
    """One layer on bytes, followed by a bias or a threshold."""
    byte = IntType(8, False)
    tensors = {"input": Tensor("input", shape, byte, 0, 255)}
    padded = weights.ndim == 4
    linear: Conv | Dense
    if padded:
        linear = Conv("conv", "l", ("input",), "acc", weights, (1, 1), (1, 1, 1, 1))
    else:
        linear = Dense("dense", "l", ("input",), "acc", weights)
    interval = node_intervals(linear, tensors["input"])
    lo, hi = interval.bounds
    out_shape = (len(weights), *shape[1:])
    tensors["acc"] = Tensor("acc", out_shape, IntType.holding(lo, hi), lo, hi)
    if extra == "bias":
        tensors["logits"] = Tensor("logits", out_shape, IntType(32, True), lo - 5, hi + 5)
        bias = np.arange(len(weights)) - 2
        return IntegerGraph(
            "g", "input", "logits", (linear, Bias("b", "l", ("acc",), "logits", bias)), tensors
        )
    channels = len(weights)
    offset = [Fraction(c, 3) for c in range(channels)]
    table = threshold_table([gain] * channels, offset, Quantizer(Fraction(1), 0, levels), interval)
    tensors["logits"] = Tensor("logits", out_shape, byte, 0, levels)
    node = Threshold("t", "l", ("acc",), "logits", table, 0)
    return IntegerGraph("g", "input", "logits", (linear, node), tensors)


def assert_equal_at_every_level(graph: IntegerGraph, folder: Path, worst: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    shape = graph.tensors["input"].shape
    codes = np.concatenate([rng.integers(0, 256, (20, *shape)), worst]).astype(np.uint8)
    expected = run_reference(graph, codes)
    emit_onnx(graph, folder / "int.onnx", taps=True)
    for level in OPTIMIZATION_LEVELS:
        found = IntSimulator(folder / "int.onnx", level=level).run(codes)
        assert all(np.array_equal(found[name], expected[name]) for name in expected), level


@pytest.mark.parametrize("extra", ["bias", "threshold"])
@pytest.mark.parametrize("inputs", [300, 3000])
def test_sums_beyond_24_bits_stay_exact(extra: str, inputs: int, tmp_path: Path) -> None:
    weights = np.random.default_rng(1).integers(-127, 128, (5, inputs))
    weights[0] = 127
    graph = one_layer(weights, extra, 200, (inputs,), Fraction(1, 300001))
    worst = np.stack([np.where(weights[c] > 0, 255, 0) for c in range(5)])
    assert_equal_at_every_level(graph, tmp_path, worst)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(1, 255), st.integers(1, 7), st.integers(0, 1000))
def test_convolutions_with_thresholds_equal_the_reference(
    tmp_path: Path, levels: int, bits: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-(2**bits) + 1, 2**bits, (4, 2, 3, 3))
    gain = Fraction(levels, int(rng.integers(100, 200_000)))
    graph = one_layer(weights, "threshold", levels, (2, 4, 4), gain)
    assert_equal_at_every_level(graph, tmp_path, np.full((1, 2, 4, 4), 255))


def test_only_standard_operators_and_integer_ends_are_written(tmp_path: Path) -> None:
    graph = one_layer(np.ones((2, 3), np.int64), "bias", 3, (3,), Fraction(1))
    model = integer_model(graph)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    types = [item.type.tensor_type.elem_type for item in (*model.graph.input, *model.graph.output)]
    assert types == [onnx.TensorProto.UINT8, onnx.TensorProto.INT32]


def assert_same_at_every_level(graph: IntegerGraph, inputs: np.ndarray, folder: Path) -> None:
    expected = run_reference(graph, inputs)
    emit_onnx(graph, folder / "int.onnx", taps=True)
    for level in OPTIMIZATION_LEVELS:
        found = IntSimulator(folder / "int.onnx", level=level).run(inputs)
        wrong = [name for name in expected if not np.array_equal(found[name], expected[name])]
        assert wrong == [], level


def test_a_block_by_hand_is_the_same_at_every_level(tmp_path: Path) -> None:
    inputs = np.array(list(itertools.product(range(4), repeat=4))).reshape(-1, 1, 2, 2)
    inputs = np.concatenate([inputs, inputs[::-1]], axis=1).astype(np.uint8)
    assert_same_at_every_level(block(), inputs, tmp_path)


@pytest.mark.parametrize("levels", [1, 3, 60])
@pytest.mark.parametrize("side", [3, 260])
def test_sums_beyond_24_bits_stay_exact_through_pixels_branches_and_layers(
    levels: int, side: int, tmp_path: Path
) -> None:
    """A map of 260 by 260 bytes sums to 17,238,000, beyond float32's integers."""
    rng = np.random.default_rng(1)
    most = 255 * side * side
    spread = np.linspace(1, 2 * most, levels).astype(np.int64)
    weights = rng.integers(-7, 8, (5, 3))
    sums = Intervals((0,) * 3, (2 * most,) * 3)
    bounds = accumulator_intervals(weights, 0, 2 * most).bounds
    graph = graph_of(
        [
            GlobalSum("pool", "pool", ("x",), "a"),
            MaxPool("max", "max", ("x",), "m", (2, 2), (1, 1), (1, 1, 0, 0)),
            GlobalSum("pool2", "pool2", ("m",), "b"),
            Add("join", "join", ("a", "b"), "sum"),
            Threshold("t", "t", ("sum",), "code", np.stack([spread] * 3), 0),
            Dense("head", "head", ("sum",), "wide", weights),
            Dense("tail", "tail", ("code",), "logits", weights),
        ],
        tensor("x", (3, side, side), 0, 255),
        tensor("a", (3,), 0, most),
        tensor("m", (3, side, side), 0, 255),
        tensor("b", (3,), 0, most),
        tensor("sum", (3,), *sums.bounds),
        tensor("code", (3,), 0, levels),
        tensor("wide", (5,), *bounds),
        tensor("logits", (5,), -7 * 3 * levels, 7 * 3 * levels),
    )
    check_graph(graph)
    inputs = rng.integers(0, 256, (4, 3, side, side)).astype(np.uint8)
    inputs[0], inputs[1, 0] = 255, 255
    inputs[0, :, 0, 0] = 254  # An odd sum: float32 holds only even integers beyond 2^24.
    assert_same_at_every_level(graph, inputs, tmp_path)
