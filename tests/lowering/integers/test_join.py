"""Sums of quantized branches: exact thresholds, ties included, and what is refused."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged import judged
from onnx import helper

from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import OPTIMIZATION_LEVELS, IntSimulator
from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Add, Dense, IntegerGraph, Threshold
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.lower import lower, lower_with_affine
from qdeploy.verify.float_levels import qonnx_level

Write = Callable[..., Path]
Quant = Callable[..., onnx.NodeProto]
ONCE = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CONSTANTS: dict[str, Any] = {
    "zero": np.float32(0),
    "half": np.float32(0.5),
    "two": np.float32(2),
    "three": np.float32(3),
    "four": np.float32(4),
    "eight": np.float32(8),
    "byte": np.float32(1 / 256),
    "odd": np.float32(1e-9),
    "grid": np.float32(1 / 8),
    "other": np.float32(1 / 4),
    "weights": (np.arange(-8, 8).reshape(4, 4) / 8).astype(np.float32),
    "wide": (np.arange(-10, 10).reshape(4, 5) / 8).astype(np.float32),
}


def residual(quant: Quant, left: str = "grid", right: str = "grid") -> list[onnx.NodeProto]:
    """Quantized input plus quantized product, on the grids of the names given."""
    return [
        quant("x", "xq", "byte", "eight", signed=0),
        quant("weights", "wq", "grid", "four"),
        helper.make_node("MatMul", ["xq", "wq"], ["product"], "matmul"),
        quant("product", "a", left, "four"),
        quant("xq", "b", right, "four"),
        helper.make_node("Add", ["a", "b"], ["sum"], "join"),
    ]


def agree(
    path: Path, graph: IntegerGraph, codes: np.ndarray, folder: Path, nearest: float = 0
) -> None:
    """The official executor and onnxruntime at every level give the reference's codes.

    The executor may differ where a value is nearer than `nearest` steps to the edge of a code.
    """
    expected = run_reference(graph, codes)
    verdict = judged(path, codes, qonnx_level(path, graph, codes))
    assert verdict.wrong == 0, verdict
    assert all(one.distance is not None and one.distance < nearest for one in verdict.differences)
    emit_onnx(graph, folder / "int.onnx", taps=True)
    for level in OPTIMIZATION_LEVELS:
        simulated = IntSimulator(folder / "int.onnx", level=level).run(codes)
        wrong = [name for name in expected if not np.array_equal(simulated[name], expected[name])]
        assert wrong == [], level


@ONCE
@given(
    st.sampled_from(["1/8", "1/4", "1/5", "float"]),
    st.integers(1, 8),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 0.5, 0.25, 1.5]),
    st.integers(0, 1000),
)
def test_random_residual_sums_equal_the_official_executor(
    write_qonnx: Write,
    quant_node: Quant,
    tmp_path: Path,
    scale: str,
    bits: int,
    signed: bool,
    rectified: bool,
    factor: float | None,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    steps = {"1/8": 1 / 8, "1/4": 1 / 4, "1/5": 1 / 5, "float": float(rng.uniform(0.05, 0.7))}
    constants = {
        **CONSTANTS,
        "last": np.float32(steps[scale]),
        "bits": np.float32(max(bits, 2) if signed else bits),
        "factor": np.float32(1 if factor is None else factor),
        "weights": (rng.integers(-7, 8, (4, 4)) / 8).astype(np.float32),
    }
    nodes = residual(quant_node)
    tensor = "sum"
    if factor is not None:
        nodes.append(helper.make_node("Mul", [tensor, "factor"], ["scaled"], "scale"))
        tensor = "scaled"
    if rectified:
        nodes.append(helper.make_node("Relu", [tensor], ["positive"], "relu"))
        tensor = "positive"
    nodes.append(quant_node(tensor, "codes", "last", "bits", signed=int(signed), narrow=0))
    nodes.append(quant_node("wide", "vq", "grid", "four"))
    nodes.append(helper.make_node("MatMul", ["codes", "vq"], ["out"], "head"))
    path = write_qonnx(nodes, constants, (1, 4), (1, 5))
    graph = lower(path)
    assert [type(node) for node in graph.nodes].count(Add) == 1
    codes = rng.integers(0, 256, (60, 4)).astype(np.uint8)
    agree(path, graph, codes, tmp_path, 0 if scale in ("1/8", "1/4") else 1e-5)


def test_half_of_a_sum_ties_at_every_odd_sum(write_qonnx: Write, quant_node: Quant) -> None:
    nodes = [
        *residual(quant_node),
        helper.make_node("Mul", ["sum", "half"], ["scaled"], "half"),
        quant_node("scaled", "out", "grid", "four", signed=1, narrow=0),
    ]
    lowered = lower_with_affine(write_qonnx(nodes, CONSTANTS, (1, 4), (1, 4)))
    table = next(node for node in lowered.graph.nodes if node.output == "logits")
    assert isinstance(table, Threshold)
    assert lowered.affine["logits"].gain[0] == Fraction(1, 16)
    # sum/2 >= k rounded half to even: from 2k - 1 on for even k, from 2k on for odd k.
    expected = [2 * k - 1 if k % 2 == 0 else 2 * k for k in range(-7, 8)]
    tensor = lowered.graph.tensors["join.sum"]
    assert table.thresholds[0].tolist() == [min(max(t, tensor.lo), tensor.hi + 1) for t in expected]


def test_a_sum_on_a_third_grid_is_an_adder_without_quantizer(
    write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    """Codes of a sum that a wider quantizer on the same grid holds need no thresholds."""
    nodes = [*residual(quant_node), quant_node("sum", "out", "grid", "eight", signed=1)]
    path = write_qonnx(nodes, CONSTANTS, (1, 4), (1, 4))
    graph = lower(path)
    assert isinstance(graph.nodes[-1], Add) and graph.output == "logits"
    agree(path, graph, np.arange(200).reshape(50, 4).astype(np.uint8), tmp_path)


def test_a_sum_may_be_read_by_a_sum_and_by_two_quantizers(
    write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    nodes = [
        *residual(quant_node),
        quant_node("sum", "left", "other", "three", signed=1),
        quant_node("sum", "right", "other", "two", signed=0),
        helper.make_node("Add", ["left", "right"], ["second"], "second"),
        helper.make_node("Add", ["second", "left"], ["out"], "third"),
    ]
    path = write_qonnx(nodes, CONSTANTS, (1, 4), (1, 4))
    graph = lower(path)
    assert len(graph.consumers("join.sum")) == 2
    assert {"join.sum", "second.sum"} <= set(graph.boundaries())
    agree(path, graph, np.arange(200).reshape(50, 4).astype(np.uint8), tmp_path)


def test_a_product_quantized_twice_with_opposite_signs_keeps_both(
    write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    """The first quantizer turns the weights; the second has to know."""
    constants = {
        **CONSTANTS,
        "turn": np.array([-1, 0.5, -0.5, 1], np.float32),
        "weights": CONSTANTS["weights"][:, ::-1].copy(),
    }
    nodes = [
        *residual(quant_node)[:3],
        helper.make_node("Mul", ["product", "turn"], ["turned"], "turn"),
        quant_node("turned", "left", "grid", "four"),
        helper.make_node("Mul", ["turned", "half"], ["smaller"], "smaller"),
        quant_node("smaller", "right", "grid", "four"),
        helper.make_node("Add", ["left", "right"], ["out"], "join"),
    ]
    path = write_qonnx(nodes, constants, (1, 4), (1, 4))
    graph = lower(path)
    product = next(node for node in graph.nodes if isinstance(node, Dense))
    assert len(graph.consumers(product.output)) == 2 and product.output in graph.boundaries()
    agree(path, graph, np.arange(200).reshape(50, 4).astype(np.uint8), tmp_path)


def test_a_relu_of_codes_before_a_sum_is_made_of_codes(
    write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    nodes = [
        *residual(quant_node)[:-1],
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Add", ["r", "b"], ["sum"], "join"),
        quant_node("sum", "out", "other", "three", signed=1),
    ]
    path = write_qonnx(nodes, CONSTANTS, (1, 4), (1, 4))
    graph = lower(path)
    assert graph.tensors["relu.code"].lo == 0
    agree(path, graph, np.arange(200).reshape(50, 4).astype(np.uint8), tmp_path)


def test_codes_of_a_vector_quantized_again_with_a_negative_factor_are_turned(
    write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    nodes = [
        *residual(quant_node)[:-1],
        helper.make_node("Sub", ["zero", "a"], ["minus"], "minus"),
        quant_node("minus", "out", "grid", "two"),
    ]
    path = write_qonnx(nodes, CONSTANTS, (1, 4), (1, 4))
    graph = lower(path)
    turn = next(node for node in graph.nodes if node.name == "quant_out.turn")
    assert isinstance(turn, Dense) and np.array_equal(turn.weights, -np.eye(4))
    agree(path, graph, np.arange(200).reshape(50, 4).astype(np.uint8), tmp_path)


def test_a_tensor_added_to_itself_needs_no_adder(
    write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    nodes = [
        *residual(quant_node)[:-1],
        helper.make_node("Mul", ["a", "half"], ["c"], "scale"),
        helper.make_node("Add", ["a", "c"], ["sum"], "join"),
        quant_node("sum", "out", "grid", "four", signed=1),
    ]
    path = write_qonnx(nodes, CONSTANTS, (1, 4), (1, 4))
    graph = lower(path)
    assert not any(isinstance(node, Add) for node in graph.nodes)
    assert "quant_b.code" not in graph.tensors  # Nothing reads it, so it is not built.
    agree(path, graph, np.arange(200).reshape(50, 4).astype(np.uint8), tmp_path)


def test_one_tensor_quantized_twice_alike_is_one_threshold(
    write_qonnx: Write, quant_node: Quant
) -> None:
    nodes = [
        *residual(quant_node)[:4],
        quant_node("product", "again", "grid", "four"),
        quant_node("a", "once_more", "grid", "four"),
        helper.make_node("Add", ["again", "once_more"], ["out"], "join"),
    ]
    graph = lower(write_qonnx(nodes, CONSTANTS, (1, 4), (1, 4)))
    assert [type(node) for node in graph.nodes] == [Dense, Threshold]
    assert graph.head.scale == Fraction(1, 4)


REFUSED: dict[str, tuple[Callable[[Quant], list[onnx.NodeProto]], str, str]] = {
    "unquantized": (
        lambda quant: [
            *residual(quant)[:-1],
            helper.make_node("Relu", ["product"], ["positive"], "relu"),
            helper.make_node("Add", ["positive", "b"], ["sum"], "join"),
        ],
        r"layer `join` cannot.*one of its two inputs is not quantized \(from layer `matmul`\)",
        "put a quantizer",
    ),
    "product of branches": (
        lambda quant: [
            *residual(quant)[:-1],
            helper.make_node("Mul", ["a", "b"], ["sum"], "join"),
        ],
        "layer `join` cannot.*a Mul of 2 branches",
        "residual sums",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_sum_that_cannot_become_an_adder_is_refused(
    name: str, write_qonnx: Write, quant_node: Quant
) -> None:
    nodes, message, advice = REFUSED[name]
    made = nodes(quant_node)
    made.append(quant_node("sum", "out", "other", "three", signed=1))
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        lower(write_qonnx(made, CONSTANTS, (1, 4), (1, 4)))
    assert caught.value.where is not None and caught.value.why
    assert caught.value.do is not None and advice in caught.value.do


def test_branches_of_different_shapes_are_refused(write_qonnx: Write, quant_node: Quant) -> None:
    constants = {**CONSTANTS, "kernel": np.ones((1, 2, 1, 1), np.float32) / 8}
    nodes = [
        quant_node("x", "xq", "byte", "eight", signed=0),
        quant_node("kernel", "kq", "grid", "four"),
        helper.make_node("Conv", ["xq", "kq"], ["product"], "conv"),
        quant_node("product", "a", "grid", "four"),
        quant_node("xq", "b", "grid", "four"),
        helper.make_node("Add", ["a", "b"], ["out"], "join"),
    ]
    with pytest.raises(UnsupportedLayerError, match="different shapes") as caught:
        lower(write_qonnx(nodes, constants, (1, 2, 3, 3), (1, 2, 3, 3)))
    assert "(1, 3, 3) and (2, 3, 3)" in caught.value.what
    assert caught.value.do is not None and "convolution of kernel 1" in caught.value.do


def test_a_sum_beyond_32_bits_is_refused(write_qonnx: Write, quant_node: Quant) -> None:
    """Doubling sums of codes ends at the accumulator's width."""
    constants = {**CONSTANTS, "wide": np.float32(24)}
    nodes = [*residual(quant_node)]
    last = "sum"
    for step in range(28):
        nodes.append(quant_node(last, f"q{step}", "grid", "eight"))
        last = f"q{step}"
    nodes.append(helper.make_node("Add", [last, "a"], ["s0"], "add0"))
    for step in range(27):
        other = f"s{step - 1}" if step else "a"
        nodes.append(helper.make_node("Add", [f"s{step}", other], [f"s{step + 1}"], f"add{step}"))
    nodes.append(helper.make_node("Add", ["s27", "s26"], ["out"], "last"))
    path = write_qonnx(nodes, constants, (1, 4), (1, 4))
    graph = lower(path)
    assert graph.tensors["logits"].dtype.bits <= 32
    extra = nodes[:-1]
    for step in range(27, 45):
        extra.append(
            helper.make_node("Add", [f"s{step}", f"s{step - 1}"], [f"s{step + 1}"], f"add{step}")
        )
    extra.append(helper.make_node("Add", ["s45", "s44"], ["out"], "last"))
    with pytest.raises(UnsupportedLayerError, match="accumulator needs 33 bits"):
        lower(write_qonnx(extra, constants, (1, 4), (1, 4)))


def test_a_file_without_output_or_one_that_ignores_its_input_is_refused(
    write_qonnx: Write, quant_node: Quant
) -> None:
    path = write_qonnx(residual(quant_node), CONSTANTS, (1, 4), (1, 4), outputs=())
    with pytest.raises(UnsupportedLayerError, match="output"):
        lower(path)
    constant = [quant_node("weights", "out", "grid", "four")]
    with pytest.raises(UnsupportedLayerError, match="not computed from its quantized input"):
        lower(write_qonnx(constant, CONSTANTS, (1, 4), (4, 4)))
