"""Files from elsewhere: the same network written in other words gives the same integers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from qdeploy.errors import PassError
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.canonical.import_qonnx import canonical, import_qonnx
from qdeploy.lowering.canonical.passes import Pass, PassResult
from qdeploy.lowering.integers.lower import lower

Write = Callable[..., Path]
Quant = Callable[..., onnx.NodeProto]
RNG = np.random.default_rng(5)
CONSTANTS: dict[str, Any] = {
    "zero": np.float32(0),
    "two": np.float32(2),
    "four": np.float32(4),
    "eight": np.float32(8),
    "byte": np.float32(1 / 256),
    "wscale": np.float32(1 / 8),
    "ascale": np.float32(1 / 2),
    "conv": (RNG.integers(-7, 8, (3, 1, 3, 3)) / 8).astype(np.float32),
    "dense": (RNG.integers(-7, 8, (5, 48)) / 8).astype(np.float32),
    "bias": np.array([1, -2, 3, -4, 5], np.float32) / 4096,
    "gamma": np.array([1.0, -0.5, 2.0], np.float32),
    "beta": np.array([0.25, 0.5, -1.0], np.float32),
    "mean": np.array([0.5, -0.25, 1.0], np.float32),
    "var": np.array([1.0, 0.25, 4.0], np.float32),
    "shape": np.array([1, -1], np.int64),
    "axis": np.array([2, 3], np.int64),
}


def elsewhere(quant: Quant) -> list[onnx.NodeProto]:
    """BatchNormalization, Identity, Dropout, Reshape, Gemm and an exported Constant."""
    return [
        quant("x", "xq", "byte", "eight", signed=0),
        quant("conv", "cq", "wscale", "four"),
        helper.make_node("Conv", ["xq", "cq"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node(
            "BatchNormalization",
            ["c", "gamma", "beta", "mean", "var"],
            ["n"],
            "norm",
            epsilon=0.0,
        ),
        helper.make_node("Relu", ["n"], ["r"], "relu"),
        helper.make_node("Identity", ["r"], ["i"], "identity"),
        quant("i", "q", "ascale", "two", signed=0),
        helper.make_node("Dropout", ["q"], ["d"], "dropout"),
        helper.make_node("Reshape", ["d", "shape"], ["f"], "reshape"),
        quant("dense", "dq", "wscale", "four"),
        helper.make_node("Gemm", ["f", "dq", "bias"], ["out"], "gemm", transB=1),
    ]


def plain(quant: Quant, constants: dict[str, Any]) -> list[onnx.NodeProto]:
    """The same in canonical words."""
    scale = constants["gamma"] / np.sqrt(constants["var"])
    constants["factor"] = scale.reshape(3, 1, 1)
    constants["term"] = (constants["beta"] - constants["mean"] * scale).reshape(3, 1, 1)
    return [
        quant("x", "xq", "byte", "eight", signed=0),
        quant("conv", "cq", "wscale", "four"),
        helper.make_node("Conv", ["xq", "cq"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["factor", "c"], ["m"], "mul"),
        helper.make_node("Add", ["term", "m"], ["n"], "add"),
        helper.make_node("Relu", ["n"], ["r"], "relu"),
        quant("r", "q", "ascale", "two", signed=0),
        helper.make_node("Flatten", ["q"], ["f"], "flatten"),
        quant("dense", "dq", "wscale", "four"),
        helper.make_node("Transpose", ["dq"], ["t"], "transpose", perm=[1, 0]),
        helper.make_node("MatMul", ["f", "t"], ["s"], "matmul"),
        helper.make_node("Add", ["s", "bias"], ["out"], "add2"),
    ]


def test_other_words_for_the_same_network_give_the_same_integers(
    write_qonnx: Write, quant_node: Quant
) -> None:
    shapes = (1, 1, 4, 4), (1, 5)
    first = lower(write_qonnx(elsewhere(quant_node), CONSTANTS, *shapes))
    constants = dict(CONSTANTS)
    second = lower(write_qonnx(plain(quant_node, constants), constants, *shapes))
    codes = np.random.default_rng(0).integers(0, 256, (50, 1, 4, 4))
    left, right = run_reference(first, codes), run_reference(second, codes)
    assert [len(np.unique(values)) > 2 for values in left.values()] == [True, True]
    for a, b in zip(left.values(), right.values(), strict=True):
        assert np.array_equal(a, b)


def test_the_canonical_file_lowers_to_the_same_graph(
    write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    path = write_qonnx(elsewhere(quant_node), CONSTANTS, (1, 1, 4, 4), (1, 5))
    target = tmp_path / "model.qonnx.onnx"
    import_qonnx(path, target)
    kinds = {node.op_type for node in onnx.load(target).graph.node}
    assert kinds == {*("Quant", "Conv", "Mul", "Add", "Relu", "Flatten", "MatMul")}
    codes = np.random.default_rng(0).integers(0, 256, (20, 1, 4, 4))
    left, right = (run_reference(lower(p), codes)["logits"] for p in (path, target))
    assert np.array_equal(left, right)


def test_division_and_subtraction_are_exact(write_qonnx: Write, quant_node: Quant) -> None:
    constants = {**CONSTANTS, "three": np.float32(3), "w": np.eye(4, dtype=np.float32)}
    nodes = [
        quant_node("x", "xq", "byte", "eight", signed=0),
        quant_node("w", "wq", "wscale", "eight"),
        helper.make_node("MatMul", ["xq", "wq"], ["s"], "matmul"),
        helper.make_node("Div", ["s", "three"], ["d"], "div"),
        helper.make_node("Sub", ["wscale", "d"], ["m"], "sub"),
        quant_node("m", "out", "byte", "eight", signed=1, narrow=0),
    ]
    graph = lower(write_qonnx(nodes, constants, (1, 4), (1, 4)))
    codes = np.arange(256).reshape(64, 4)
    # 256·(1/8 - code/256/3): 32 - code/3, never a tie.
    expected = [[round(32 - int(c) / 3) for c in row] for row in codes]
    assert run_reference(graph, codes)["logits"].tolist() == expected


def test_a_dynamic_batch_axis_becomes_one_frame(write_qonnx: Write, quant_node: Quant) -> None:
    path = write_qonnx(
        plain(quant_node, constants := dict(CONSTANTS)), constants, (1, 1, 4, 4), (1, 5)
    )
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, path)
    assert canonical(path).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


class Spoil(Pass):
    """Doubles a constant: what a wrong pass looks like."""

    def call(self, model: ModelProto) -> PassResult:
        for item in model.graph.initializer:
            if item.name == "term":
                doubled = onnx.numpy_helper.to_array(item) * 2
                item.CopyFrom(onnx.numpy_helper.from_array(doubled, "term"))
        return PassResult(model, True)


def test_a_pass_that_changes_the_outputs_is_caught(write_qonnx: Write, quant_node: Quant) -> None:
    constants = dict(CONSTANTS)
    path = write_qonnx(plain(quant_node, constants), constants, (1, 1, 4, 4), (1, 5))
    with pytest.raises(PassError, match="Spoil changed the outputs"):
        Spoil()(canonical(path))
