"""Layers written by hand as QONNX: groups, padding, averages, binary weights, pools."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import OPTIMIZATION_LEVELS, IntSimulator
from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Conv, Dense, GlobalSum, IntegerGraph, MaxPool
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.lower import lower
from qdeploy.verify.float_levels import qonnx_level

Write = Callable[..., Path]
Quant = Callable[..., onnx.NodeProto]
RNG = np.random.default_rng(3)
CONSTANTS: dict[str, Any] = {
    "zero": np.float32(0),
    "one": np.float32(1),
    "two": np.float32(2),
    "three": np.float32(3),
    "four": np.float32(4),
    "eight": np.float32(8),
    "byte": np.float32(1 / 256),
    "grid": np.float32(1 / 8),
    "quarter": np.float32(1 / 4),
    "most": np.float32(7 / 8),
    "kernel": (RNG.integers(-7, 8, (6, 4, 3, 3)) / 8).astype(np.float32),
    "single": (RNG.integers(-7, 8, (4, 1, 3, 3)) / 8).astype(np.float32),
    "double": (RNG.integers(-7, 8, (8, 1, 3, 3)) / 8).astype(np.float32),
    "grouped": (RNG.integers(-7, 8, (6, 2, 3, 3)) / 8).astype(np.float32),
    "dense": (RNG.integers(-7, 8, (4, 5)) / 8).astype(np.float32),
    "axes": np.array([2, 3], np.int64),
    "factor": np.array([1, 0.5, 2, -0.25], np.float32).reshape(1, 4, 1, 1),
    "around": np.array([0, 0, 1, 2, 0, 0, 0, 3], np.int64),
    "everywhere": np.array([0, 1, 1, 2, 0, 0, 0, 3], np.int64),
}
SHAPE = (1, 4, 7, 6)


def agree(path: Path, folder: Path) -> IntegerGraph:
    """The graph of a file, after executor and onnxruntime gave the reference's codes."""
    graph = lower(path)
    shape = graph.tensors[graph.input].shape
    codes = np.random.default_rng(0).integers(0, 256, (12, *shape)).astype(np.uint8)
    expected = run_reference(graph, codes)
    assert len(np.unique(expected[graph.output])) > 1
    found = qonnx_level(path, graph, codes).codes
    assert [name for name in expected if not np.array_equal(found[name], expected[name])] == []
    emit_onnx(graph, folder / "int.onnx", taps=True)
    for level in OPTIMIZATION_LEVELS:
        simulated = IntSimulator(folder / "int.onnx", level=level).run(codes)
        wrong = [name for name in expected if not np.array_equal(simulated[name], expected[name])]
        assert wrong == [], level
    return graph


def start(quant: Quant, less: str = "quarter") -> list[onnx.NodeProto]:
    """Input codes and signed codes of it, both sides of zero; `less` is taken off before."""
    return [
        quant("x", "xq", "byte", "eight", signed=0),
        helper.make_node("Sub", ["xq", less], ["moved"], "sub"),
        quant("moved", "codes", "grid", "three", signed=1, narrow=0),
    ]


@pytest.mark.parametrize(
    ("weights", "groups", "kept"),
    [("kernel", 1, 1), ("single", 4, 4), ("double", 4, 1), ("grouped", 2, 1)],
)
@pytest.mark.parametrize("where", [{}, {"dilations": [2, 1], "pads": [2, 0, 1, 3]}])
def test_groups_are_depthwise_or_become_one(
    weights: str,
    groups: int,
    kept: int,
    where: dict[str, Any],
    write_qonnx: Write,
    quant_node: Quant,
    tmp_path: Path,
) -> None:
    nodes = [
        *start(quant_node),
        quant_node(weights, "w", "grid", "four"),
        helper.make_node("Conv", ["codes", "w"], ["acc"], "conv", group=groups, **where),
        quant_node("acc", "out", "quarter", "four"),
    ]
    outputs = CONSTANTS[weights].shape[0]
    grown = (8, 5) if where else (5, 4)
    size = (grown[0] - 2, grown[1] + 3) if where else grown
    graph = agree(write_qonnx(nodes, CONSTANTS, SHAPE, (1, outputs, *size)), tmp_path)
    node = next(node for node in graph.nodes if isinstance(node, Conv))
    assert node.groups == kept
    assert node.weights.shape[1] == (1 if kept > 1 else 4)
    if kept != groups:
        assert (node.weights == 0).sum() >= node.weights.size * (1 - 1 / groups)


@pytest.mark.parametrize(("scale", "bits"), [("grid", "one"), ("factor", "one"), ("grid", None)])
def test_binary_weights_are_minus_one_and_one(
    scale: str, bits: str | None, write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    constants = {
        **CONSTANTS,
        "factor": np.array([0.5, 1, 2, 4, 0.25, 8], np.float32).reshape(6, 1, 1, 1),
    }
    constants["kernel"] = constants["kernel"].copy()
    constants["kernel"].flat[0] = 0.0
    binary = quant_node("kernel", "w", scale, "one", signed=1, narrow=0)
    if bits is None:
        binary = helper.make_node(
            "BipolarQuant", ["kernel", scale], ["w"], "w", domain="qonnx.custom_op.general"
        )
    nodes = [
        *start(quant_node),
        binary,
        helper.make_node("Conv", ["codes", "w"], ["acc"], "conv", pads=[1, 1, 1, 1]),
        quant_node("acc", "out", "quarter", "eight"),
    ]
    graph = agree(write_qonnx(nodes, constants, SHAPE, (1, 6, 7, 6)), tmp_path)
    node = next(node for node in graph.nodes if isinstance(node, Conv))
    assert set(np.unique(node.weights)) == {-1, 1} and node.weights.flat[0] == 1


@pytest.mark.parametrize("kind", ["global", "mean", "keep", "whole"])
@pytest.mark.parametrize("quantized", [False, True])
def test_averages_over_the_map_are_sums_with_the_pixels_in_the_scale(
    kind: str, quantized: bool, write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    average = {
        "global": helper.make_node("GlobalAveragePool", ["codes"], ["mean"], "average"),
        "mean": helper.make_node(
            "ReduceMean", ["codes"], ["flat"], "average", axes=[2, 3], keepdims=0
        ),
        "keep": helper.make_node("ReduceMean", ["codes"], ["mean"], "average", axes=[-1, -2]),
        "whole": helper.make_node(
            "AveragePool", ["codes"], ["mean"], "average", kernel_shape=[8, 4]
        ),
    }[kind]
    nodes = [*start(quant_node), average]
    if kind != "mean":
        last = "mean"
        if quantized:
            nodes += [
                helper.make_node("Mul", ["mean", "positive"], ["scaled"], "scale"),
                quant_node("scaled", "again", "grid", "four"),
            ]
            last = "again"
        nodes.append(helper.make_node("Squeeze", [last, "axes"], ["flat"], "squeeze"))
    nodes += [
        quant_node("dense", "w", "grid", "four"),
        helper.make_node("MatMul", ["flat", "w"], ["out"], "head"),
    ]
    constants = {**CONSTANTS, "positive": np.abs(CONSTANTS["factor"])}
    graph = agree(write_qonnx(nodes, constants, (1, 4, 8, 4), (1, 5)), tmp_path)
    pooled = next(node for node in graph.nodes if isinstance(node, GlobalSum))
    tensor = graph.tensors[pooled.output]
    assert tensor.shape == (4,) and tensor.scale == Fraction(1, 8 * 32)
    assert (tensor.lo, tensor.hi) == (-2 * 32, 3 * 32)
    inside = quantized and kind != "mean"
    assert (pooled.output in graph.boundaries()) is not inside


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
)
def test_padding_never_wins_a_pool_of_signed_codes(
    write_qonnx: Write,
    quant_node: Quant,
    tmp_path: Path,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: list[int],
) -> None:
    pads = [min(pad, kernel[axis % 2] - 1) for axis, pad in enumerate(pads)]
    size = [
        (n + pads[axis] + pads[axis + 2] - kernel[axis]) // stride[axis] + 1
        for axis, n in enumerate(SHAPE[2:])
    ]
    nodes = [
        *start(quant_node, "most"),  # the highest code stays rare: maxima differ
        helper.make_node(
            "MaxPool",
            ["codes"],
            ["pooled"],
            "pool",
            kernel_shape=kernel,
            strides=stride,
            pads=pads,
        ),
        quant_node("pooled", "out", "grid", "two", signed=1, narrow=0),
    ]
    graph = agree(write_qonnx(nodes, CONSTANTS, SHAPE, (1, 4, *size)), tmp_path)
    pool = next(node for node in graph.nodes if isinstance(node, MaxPool))
    assert list(pool.pads) == pads


def padded(quant: Quant, **changes: Any) -> list[onnx.NodeProto]:
    """Zeros around the codes, then a convolution with padding of its own."""
    inputs = ["codes", changes.get("sizes", "around"), *changes.get("value", [])]
    mode = changes.get("mode", "constant")
    return [
        *start(quant),
        helper.make_node("Pad", inputs, ["wide"], "pad", mode=mode),
        quant("kernel", "w", "grid", "four"),
        helper.make_node("Conv", ["wide", "w"], ["acc"], "conv", pads=[1, 0, 0, 0]),
        quant("acc", "out", "quarter", "four"),
    ]


def test_a_pad_with_zeros_becomes_padding_of_the_convolution(
    write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    path = write_qonnx(padded(quant_node, value=["zero"]), CONSTANTS, SHAPE, (1, 6, 7, 9))
    node = next(n for n in agree(path, tmp_path).nodes if isinstance(n, Conv))
    assert node.pads == (2, 2, 0, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": ["quarter"]}, "layer `pad`.*padding 0.25"),
        ({"value": ["one"]}, "layer `pad`.*padding 1"),
        ({"mode": "reflect"}, "layer `pad`.*mode reflect"),
        ({"sizes": "everywhere"}, "layer `pad`.*outside the map's two axes"),
    ],
)
def test_a_padding_value_that_is_not_code_zero_is_refused(
    changes: dict[str, Any], message: str, write_qonnx: Write, quant_node: Quant
) -> None:
    size = (1, 6, 7, 9)
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        lower(write_qonnx(padded(quant_node, **changes), CONSTANTS, SHAPE, size))
    assert caught.value.do


def test_codes_that_do_not_mean_zero_get_others_before_they_are_padded(
    write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    nodes = [
        *start(quant_node),
        helper.make_node("Add", ["codes", "quarter"], ["shifted"], "shift"),
        quant_node("kernel", "w", "grid", "four"),
        helper.make_node("Conv", ["shifted", "w"], ["out"], "conv", pads=[1, 1, 1, 1]),
    ]
    graph = agree(write_qonnx(nodes, CONSTANTS, SHAPE, (1, 6, 7, 6)), tmp_path)
    assert (graph.tensors["conv.padded"].lo, graph.tensors["conv.padded"].hi) == (0, 5)


ENDS: dict[str, tuple[Callable[[], list[onnx.NodeProto]], str, str]] = {
    "resize": (
        lambda: [
            helper.make_node("Resize", ["codes", "", "doubled"], ["out"], "up", mode="linear")
        ],
        "layer `up`.*enlarges by 2 and 2 in mode linear",
        "integer factors",
    ),
    "concat": (
        lambda: [helper.make_node("Concat", ["codes", "codes"], ["out"], "both", axis=2)],
        "layer `both`.*joins along axis 2",
        "use axis=1",
    ),
    "border of an average": (
        lambda: [
            helper.make_node(
                "AveragePool",
                ["codes"],
                ["out"],
                "average",
                kernel_shape=[3, 3],
                strides=[2, 2],
                ceil_mode=1,
                count_include_pad=1,
            )
        ],
        "layer `average`.*beyond the padding",
        "count_include_pad=False",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_layer_without_hardware_is_refused_with_a_way_out(
    name: str, write_qonnx: Write, quant_node: Quant
) -> None:
    nodes, message, advice = ENDS[name]
    constants = {**CONSTANTS, "doubled": np.array([1, 1, 2, 2], np.float32)}
    shape = {"resize": (1, 4, 14, 12), "concat": (1, 8, 7, 6)}
    path = write_qonnx([*start(quant_node), *nodes()], constants, SHAPE, shape.get(name, SHAPE))
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        lower(path)
    assert caught.value.why
    assert caught.value.do is not None and advice in caught.value.do


def test_a_binary_scale_of_zero_is_refused(write_qonnx: Write, quant_node: Quant) -> None:
    nodes = [
        quant_node("x", "xq", "byte", "eight", signed=0),
        helper.make_node(
            "BipolarQuant", ["dense", "zero"], ["w"], "w", domain="qonnx.custom_op.general"
        ),
        helper.make_node("MatMul", ["xq", "w"], ["out"], "head"),
    ]
    with pytest.raises(UnsupportedLayerError, match=r"layer `w`.*has the scale 0"):
        lower(write_qonnx(nodes, CONSTANTS, (1, 4), (1, 5)))


def test_what_nothing_reads_is_not_built(write_qonnx: Write, quant_node: Quant) -> None:
    nodes = [
        quant_node("x", "xq", "byte", "eight", signed=0),
        quant_node("dense", "w", "grid", "four"),
        helper.make_node("MatMul", ["xq", "w"], ["out"], "head"),
        helper.make_node("Relu", ["out"], ["unread"], "relu"),
        quant_node("unread", "unread_codes", "grid", "four"),
    ]
    graph = lower(write_qonnx(nodes, CONSTANTS, (1, 4), (1, 5)))
    assert [type(node) for node in graph.nodes] == [Dense]
