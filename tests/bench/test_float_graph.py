"""The bench's float graph means what the QONNX file means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

import qdeploy

BENCH = Path(qdeploy.__file__).resolve().parent.parent / "bench"


def _quant_file(path: Path, bits: int, signed: int, narrow: int) -> Path:
    """One Quant node with scale 0.25 on a (1, 64) tensor."""
    constants = {"scale": 0.25, "zero": 0.0, "bits": float(bits)}
    node = helper.make_node(
        "Quant",
        ["x", *constants],
        ["y"],
        domain="qonnx.custom_op.general",
        rounding_mode="ROUND",
        signed=signed,
        narrow=narrow,
    )
    graph = helper.make_graph(
        [node],
        "quant",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
        [
            numpy_helper.from_array(np.array(value, dtype=np.float32), name)
            for name, value in constants.items()
        ],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("bits", "signed", "narrow"), [(2, 0, 0), (8, 0, 0), (2, 1, 1), (2, 1, 0), (4, 1, 1)]
)
def test_quantizer_equals_the_official_executor_at_ties_and_beyond_the_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int, signed: int, narrow: int
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    from float_graph import float_graph

    path = _quant_file(tmp_path / "quant.onnx", bits, signed, narrow)
    # Steps of half a code: every second value lies exactly between two codes.
    values = (np.arange(-32, 32, dtype=np.float32) * 0.125)[None]
    model = ModelWrapper(str(path)).transform(InferShapes())
    expected = execute_onnx(model, {"x": values})["y"]
    session = onnxruntime.InferenceSession(
        float_graph(path).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"x": np.concatenate([values, values])})
    np.testing.assert_array_equal(found, np.concatenate([expected, expected]))
