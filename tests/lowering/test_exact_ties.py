"""Power-of-two scales without batch norm hit exact ties: the parity of the code decides."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import OPTIMIZATION_LEVELS, IntSimulator
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.lower import lower
from qdeploy.verify.float_levels import qonnx_level

Write = Callable[..., Path]
Quant = Callable[..., onnx.NodeProto]


@pytest.mark.parametrize(("bits", "signed"), [(2, 0), (3, 1), (4, 0), (8, 0), (8, 1)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_every_tie_falls_as_in_the_official_executor(
    bits: int, signed: int, sign: float, write_qonnx: Write, quant_node: Quant, tmp_path: Path
) -> None:
    constants = {
        "zero": np.float32(0),
        "eight": np.float32(8),
        "bits": np.float32(bits),
        "byte": np.float32(1 / 256),
        "wscale": np.float32(1 / 4),
        "ascale": np.float32(1 / 64),
        "weights": np.array([[1, 0.5], [-2, 0.5], [0.25, -1]], np.float32),
        "factor": np.array([sign, 0.5], np.float32),
        "shift": np.array([1 / 128, -0.25], np.float32),
    }
    nodes = [
        quant_node("x", "xq", "byte", "eight", signed=0),
        quant_node("weights", "wq", "wscale", "eight"),
        helper.make_node("MatMul", ["xq", "wq"], ["sum"], "matmul"),
        helper.make_node("Mul", ["sum", "factor"], ["scaled"], "mul"),
        helper.make_node("Add", ["scaled", "shift"], ["moved"], "add"),
        quant_node("moved", "out", "ascale", "bits", signed=signed, narrow=0),
    ]
    path = write_qonnx(nodes, constants, (1, 3), (1, 2))
    graph = lower(path)
    codes = np.random.default_rng(1).integers(0, 256, (400, 3)).astype(np.uint8)
    expected = run_reference(graph, codes)
    found = qonnx_level(path, graph, codes).codes
    assert np.array_equal(found["logits"], expected["logits"])
    emit_onnx(graph, tmp_path / "int.onnx")
    for level in OPTIMIZATION_LEVELS:
        simulated = IntSimulator(tmp_path / "int.onnx", level=level).run(codes)
        assert np.array_equal(simulated["logits"], expected["logits"]), level
