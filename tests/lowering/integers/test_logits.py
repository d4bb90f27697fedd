"""The head: nothing is rounded for its bias or scales; the class in hardware is the exact one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from qdeploy.codegen.onnx.model import VALUES, emit_onnx
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Bias, Dense
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.lower import lower

FEATURES, CLASSES = 6, 4
DOMAIN = "qonnx.custom_op.general"


def head_file(
    path: Path,
    bias: list[float],
    scale: float | list[float] = 0.5,
    factor: list[float] | None = None,
) -> Path:
    """Input of 2 bits -> ternary Linear -> bias (-> a factor for each channel)."""
    weights = np.random.default_rng(5).integers(-1, 2, (FEATURES, CLASSES)).astype(np.float32)
    scales = np.broadcast_to(np.float32(scale), (1, CLASSES) if np.ndim(scale) else ())
    constants = {
        "input_scale": np.float32(0.75),
        "zero": np.float32(0),
        "two": np.float32(2),
        "weights": weights * scales,
        "weight_scale": np.array(scales),
        "bias": np.array(bias, np.float32),
        "factor": np.array(factor or [1.0], np.float32),
    }
    quant = {"domain": DOMAIN, "rounding_mode": "ROUND"}
    nodes = [
        helper.make_node(
            "Quant", ["x", "input_scale", "zero", "two"], ["xq"], signed=0, narrow=0, **quant
        ),
        helper.make_node(
            "Quant",
            ["weights", "weight_scale", "zero", "two"],
            ["wq"],
            signed=1,
            narrow=1,
            **quant,
        ),
        helper.make_node("MatMul", ["xq", "wq"], ["sums"]),
        helper.make_node("Add", ["sums", "bias"], ["biased"]),
        helper.make_node("Mul", ["biased", "factor"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, FEATURES])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    domains = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=9), path)
    return path


def all_frames() -> np.ndarray:
    """Every input there is."""
    return np.indices((4,) * FEATURES).reshape(FEATURES, -1).T


# Halves, thirds and whole steps of 3/8, the step of these logits, and neighbours in float32.
BIASES = st.one_of(
    st.sampled_from([0.0, 0.1875, -0.1875, 0.375, -0.75, 0.125, 0.12500001, 0.06]),
    st.floats(-2, 2, width=32),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(bias=st.lists(BIASES, min_size=CLASSES, max_size=CLASSES))
def test_the_class_in_hardware_is_that_of_the_exact_logits_for_every_input(
    bias: list[float], tmp_path: Path
) -> None:
    path = head_file(tmp_path / "head.onnx", bias)
    frames = all_frames()
    plain, found = lower(path), lower(path, argmax=True)
    exact = plain.head.classes(run_reference(plain, frames)["logits"])
    assert np.array_equal(run_reference(found, frames)["class"][:, 0], exact)
    # The integers that are compared stand for the same logits.
    compared = run_reference(found, frames)["logits"][::97]
    assert np.allclose(
        found.head.values(compared), plain.head.values(run_reference(plain, frames[::97])["logits"])
    )


def test_a_bias_of_whole_steps_is_added_in_hardware(tmp_path: Path) -> None:
    graph = lower(head_file(tmp_path / "head.onnx", [0.375, -0.75, 0.0, 1.125]))
    (node,) = (one for one in graph.nodes if isinstance(one, Bias))
    assert node.bias.tolist() == [1, -2, 0, 3]
    assert graph.head.scale == 0.375


def test_any_other_bias_stays_out_of_the_integers(tmp_path: Path) -> None:
    graph = lower(head_file(tmp_path / "head.onnx", [0.1875, 0.0, 0.0, 0.0]))
    assert [type(node) for node in graph.nodes] == [Dense]
    assert [float(value) for value in graph.head.offset] == [0.1875, 0.0, 0.0, 0.0]


def test_a_bias_that_no_accumulator_holds_stays_out_too(tmp_path: Path) -> None:
    """It is a whole number of steps, 2^41 of them."""
    far = 0.375 * 2**41
    graph = lower(head_file(tmp_path / "head.onnx", [far] * 4))
    assert [type(node) for node in graph.nodes] == [Dense]
    assert set(graph.head.offset) == {far}


def test_factors_per_channel_and_of_both_signs_are_exact(tmp_path: Path) -> None:
    path = head_file(
        tmp_path / "head.onnx", [0.1, 0.2, 0.3, 0.4], [0.5, 0.25, 0.3, 1.0], [1.0, -2.0, 0.5, -0.1]
    )
    graph = lower(path)
    assert graph.head.scale is None and len(graph.head.gain) == CLASSES
    frames = all_frames()[::37]
    emit_onnx(graph, tmp_path / "int.onnx")
    found = IntSimulator(tmp_path / "int.onnx").run(frames)
    assert np.array_equal(found["logits"], run_reference(graph, frames)["logits"])
    assert found[VALUES].dtype == np.float64
    assert np.array_equal(found[VALUES], graph.head.values(found["logits"]))


def test_a_class_in_hardware_needs_one_scale(tmp_path: Path) -> None:
    path = head_file(tmp_path / "head.onnx", [0.0] * 4, [0.5, 0.25, 0.3, 1.0])
    with pytest.raises(UnsupportedLayerError, match="one scale per output channel") as caught:
        lower(path, argmax=True)
    assert caught.value.do is not None and "leave --argmax out" in caught.value.do
