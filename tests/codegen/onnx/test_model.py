from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qdeploy.codegen.onnx.model import emit_onnx, integer_model
from qdeploy.codegen.onnx.session import OPTIMIZATION_LEVELS, IntSimulator
from qdeploy.errors import UserError
from qdeploy.ir.integer_graph import Bias, Conv, Dense, IntegerGraph, IntType, Tensor, Threshold
from qdeploy.ir.intervals import node_intervals
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.thresholds import Quantizer, threshold_table


def graph_of(
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


@pytest.mark.parametrize("kept", [0, 40, None], ids=["empty", "cut short", "missing"])
def test_a_damaged_file_is_a_user_error_that_names_it(kept: int | None, tmp_path: Path) -> None:
    graph = graph_of(np.ones((2, 3), dtype=np.int64), "bias", 0, (3,), Fraction(1))
    path = tmp_path / "model.int.onnx"
    emit_onnx(graph, path, taps=False)
    data = path.read_bytes()
    path.unlink()
    if kept is not None:
        path.write_bytes(data[:-kept] if kept else b"")
    with pytest.raises(UserError, match=r"`model\.int\.onnx` cannot be read") as caught:
        IntSimulator(path)
    assert caught.value.where == str(path) and caught.value.why and caught.value.do


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
    graph = graph_of(weights, extra, 200, (inputs,), Fraction(1, 300001))
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
    graph = graph_of(weights, "threshold", levels, (2, 4, 4), gain)
    assert_equal_at_every_level(graph, tmp_path, np.full((1, 2, 4, 4), 255))


def test_only_standard_operators_and_integer_ends_are_written(tmp_path: Path) -> None:
    graph = graph_of(np.ones((2, 3), np.int64), "bias", 3, (3,), Fraction(1))
    model = integer_model(graph)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    types = [item.type.tensor_type.elem_type for item in (*model.graph.input, *model.graph.output)]
    assert types == [onnx.TensorProto.UINT8, onnx.TensorProto.INT32]


def test_the_simulator_refuses_codes_that_do_not_fit(tmp_path: Path) -> None:
    graph = graph_of(np.ones((2, 3), np.int64), "bias", 3, (3,), Fraction(1))
    emit_onnx(graph, tmp_path / "int.onnx")
    simulator = IntSimulator(tmp_path / "int.onnx")
    with pytest.raises(UserError, match="do not fit uint8"):
        simulator.run(np.array([[0, 1, 256]]))
    with pytest.raises(UserError, match="shape"):
        simulator.run(np.zeros((1, 4), np.uint8))
    with pytest.raises(UserError, match="float64"):
        simulator.run(np.zeros((1, 3)))
    assert simulator.run(np.array([[1, 2, 3]]))["logits"].tolist() == [[4, 5]]
