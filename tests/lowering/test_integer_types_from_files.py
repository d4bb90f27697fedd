"""Integer types of QuantizeLinear: four bits, sixteen bits, and onnxruntime's own domain."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from dialect_check import check
from dialect_writer import DialectWriter
from dialects_onnxruntime import onnxruntime_files
from onnx import ModelProto
from written_files import save

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Conv, Threshold
from qdeploy.lowering.integers.lower import lower

FILES = {one.name: one for one in onnxruntime_files()}
# The file, and the codes of its activations.
TYPES = {
    "qdq/int4 weights": (0, 255),
    "qdq/int4 weights per channel": (0, 255),
    "qdq/uint4 activations": (0, 15),
    "qdq/int4 activations": (-5, 10),
    "qdq/int16 activations": (-32768, 32767),
    "qdq/uint16 activations": (0, 65535),
    "qdq/onnxruntime's domain": (0, 255),
    "qdq/onnxruntime's domain, int16": (-32768, 32767),
    "qdq/onnxruntime's domain, uint16": (0, 65535),
    "qdq/onnxruntime's domain, int4 weights": (0, 255),
    "onnxruntime/int4 weights": (-255, 255),
    "onnxruntime/int16 activations": (-32768, 32767),
}


@pytest.mark.parametrize("name", TYPES)
def test_codes_of_a_type_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    FILES[name].write(path)
    found = check(path, frames=2)
    assert (found.engine, found.ties, found.exact, found.classes) == (0, 0, 0, 0), found.note
    last = [node for node in found.graph.nodes if isinstance(node, Threshold)][-1]
    tensor = found.graph.tensors[last.output]
    assert TYPES[name][0] <= tensor.lo < tensor.hi <= TYPES[name][1]
    if "int4 weights" in name:
        layer = next(node for node in found.graph.nodes if isinstance(node, Conv))
        assert int(np.abs(layer.weights).max()) <= 8


def _blocks() -> ModelProto:
    file = DialectWriter((1, 3, 6, 6), opset=21)
    x = file.qdq("x", 2**-8)
    codes = file.constant(file.rng.integers(-7, 8, (4, 4)), ml_dtypes.int4)
    scales = file.constant(np.full((2, 4), 0.1))
    flat = file.op("DequantizeLinear", codes, scales, axis=0, block_size=2)
    wide = file.op("Reshape", flat, file.constant([4, 4, 1, 1], np.int64))
    x = file.op("Conv", x, file.weights(4, 3, 1, 1), kernel_shape=[1, 1])
    y = file.op("Conv", file.activation(x), wide, kernel_shape=[1, 1])
    return file.model(y, (1, 4, 6, 6), ir_version=10)


def test_scales_per_block_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match="its scales are per block") as caught:
        lower(save(_blocks(), tmp_path))
    assert "DequantizeLinear" in str(caught.value.where)


def test_other_operators_of_onnxruntime_are_refused(tmp_path: Path) -> None:
    file = DialectWriter((1, 3, 6, 6))
    y = file.op("QLinearAdd", "x", "x", domain="com.microsoft")
    with pytest.raises(UnsupportedLayerError, match=r"of the domain `com\.microsoft`") as caught:
        lower(save(file.model(y, (1, 3, 6, 6)), tmp_path))
    assert "QLinearAdd" in str(caught.value.where)
