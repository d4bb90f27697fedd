"""QuantizeLinear and DequantizeLinear: the logits are those of onnxruntime on the file itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dialect_writer import DialectWriter
from onnx import ModelProto, numpy_helper
from written_files import by_onnxruntime, logits_of, save

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.import_qonnx import canonical


def network(
    *, zero: int = 0, scale: float = 0.25, dtype: Any = np.uint8, clip: Any = None, **weights: Any
) -> ModelProto:
    """Input, convolution with an int32 bias, ReLU, activations, fully connected layer."""
    file = DialectWriter((1, 2, 5, 5))
    x = file.qdq("x", 2**-8)
    codes = file.rng.integers(-7, 8, (4, 2, 3, 3)).astype(np.int8)
    w = file.stored(codes, weights.get("scale", 0.125), weights.get("zero", 0), weights.get("axis"))
    bias = file.stored(file.rng.integers(-300, 300, 4).astype(np.int32), 2**-11)
    sums = file.op("Conv", x, w, bias, kernel_shape=[3, 3])
    if dtype == np.uint8 and not zero:
        sums = file.op("Relu", sums)
    codes = file.qdq(sums, scale, zero, dtype, clip)
    rows = file.stored(file.rng.integers(-7, 8, (36, 5)).astype(np.int8), 0.0625)
    return file.model(file.op("MatMul", file.op("Flatten", codes, axis=1), rows), (1, 5))


def agrees(model: ModelProto, folder: Path) -> bool:
    codes = np.random.default_rng(2).integers(0, 256, (40, 2, 5, 5))
    expected = by_onnxruntime(model, (codes / 256).astype(np.float32))
    found = logits_of(save(model, folder), codes)
    return len(np.unique(expected)) > 50 and np.array_equal(found, expected)


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "signed activations": {"dtype": np.int8},
    "four bits by Clip": {"clip": (0, 15)},
    "signed four bits by Clip": {"dtype": np.int8, "clip": (-8, 7)},
    "narrow by Clip": {"dtype": np.int8, "clip": (-7, 7)},
    "weights per channel": {"scale_of_weights": True},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_logits_are_those_of_onnxruntime(name: str, tmp_path: Path) -> None:
    options = dict(VARIANTS[name])
    if options.pop("scale_of_weights", False):
        model = network()
        file = DialectWriter((1, 2, 5, 5))
        x = file.qdq("x", 2**-8)
        codes = file.rng.integers(-7, 8, (4, 2, 3, 3)).astype(np.int8)
        w = file.stored(codes, [0.125, 0.25, 0.5, 1.0], [0, 0, 0, 0], axis=0)
        quantized = file.qdq(file.op("Relu", file.op("Conv", x, w, kernel_shape=[3, 3])), 0.25)
        rows = file.stored(file.rng.integers(-7, 8, (36, 5)).astype(np.int8), 0.0625)
        flat = file.op("Flatten", quantized, axis=1)
        model = file.model(file.op("MatMul", flat, rows), (1, 5))
    else:
        model = network(**options)
    assert agrees(model, tmp_path)


def test_the_canonical_form_has_quantizers_of_the_codes_width(tmp_path: Path) -> None:
    model = canonical(save(network(clip=(0, 15)), tmp_path))
    kinds = {node.op_type for node in model.graph.node}
    assert kinds == {"Quant", "Conv", "Relu", "Flatten", "MatMul"}
    known = {t.name: t for t in model.graph.initializer}
    widths = [
        float(numpy_helper.to_array(known[node.input[3]]))
        for node in model.graph.node
        if node.op_type == "Quant" and not attributes_of(node)["signed"]
    ]
    assert widths == [8, 4]


@pytest.mark.parametrize("scale", [0.0, -0.5, np.inf, np.nan])
def test_a_scale_that_is_none_is_refused(scale: float, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match="its quantizer has the scale"):
        canonical(save(network(scale=scale), tmp_path))


def test_a_scale_computed_at_run_time_is_refused(tmp_path: Path) -> None:
    file = DialectWriter((1, 4))
    largest = file.op("ReduceMax", "x", keepdims=0)
    codes = file.op("QuantizeLinear", "x", largest, file.constant(0, np.uint8))
    model = file.model(
        file.op("DequantizeLinear", codes, largest, file.constant(0, np.uint8)), (1, 4)
    )
    with pytest.raises(UnsupportedLayerError, match="computed at run time"):
        canonical(save(model, tmp_path))


def test_codes_that_are_not_taken_back_are_refused(tmp_path: Path) -> None:
    file = DialectWriter((1, 4))
    codes = file.op("QuantizeLinear", "x", file.constant(0.5), file.constant(0, np.uint8))
    model = file.model(file.op("Cast", codes, to=1), (1, 4))
    with pytest.raises(UnsupportedLayerError, match="without its counterpart"):
        canonical(save(model, tmp_path))


def test_other_constants_on_the_way_back_are_refused(tmp_path: Path) -> None:
    file = DialectWriter((1, 4))
    codes = file.op("QuantizeLinear", "x", file.constant(0.5), file.constant(0, np.uint8))
    back = file.op("DequantizeLinear", codes, file.constant(0.25), file.constant(0, np.uint8))
    with pytest.raises(UnsupportedLayerError, match="other constants than its QuantizeLinear"):
        canonical(save(file.model(back, (1, 4)), tmp_path))


@pytest.mark.parametrize("zero", [0, 3, 128])
def test_a_quantized_output_is_the_files(zero: int, tmp_path: Path) -> None:
    """Limits of the codes are rounded to float32 in the canonical form; codes are clipped."""
    file = DialectWriter((1, 2, 5, 5))
    flat = file.op("Flatten", file.qdq("x", 2**-8), axis=1)
    rows = file.stored(file.rng.integers(-7, 8, (50, 5)).astype(np.int8), 0.0625)
    model = file.model(file.qdq(file.op("MatMul", flat, rows), 0.0190844, zero), (1, 5))
    codes = np.random.default_rng(2).integers(0, 256, (40, 2, 5, 5))
    expected = by_onnxruntime(model, (codes / 256).astype(np.float32))
    found = logits_of(save(model, tmp_path), codes)
    assert len(np.unique(expected)) > 20
    assert np.array_equal(found.astype(np.float32), expected)


def test_probabilities_in_codes_are_cut_off(tmp_path: Path) -> None:
    file = DialectWriter((1, 2, 5, 5))
    flat = file.op("Flatten", file.qdq("x", 2**-8), axis=1)
    rows = file.stored(file.rng.integers(-7, 8, (50, 5)).astype(np.int8), 0.0625)
    sums = file.qdq(file.op("MatMul", flat, rows), 0.5, 128)
    model = file.model(file.qdq(file.op("Softmax", sums, axis=1), 1 / 256), (1, 5))
    codes = np.random.default_rng(2).integers(0, 256, (40, 2, 5, 5))
    classes = by_onnxruntime(model, (codes / 256).astype(np.float32)).argmax(axis=1)
    found = logits_of(save(model, tmp_path), codes)
    best = np.take_along_axis(found, classes[:, None], axis=1)[:, 0]
    assert np.array_equal(best, found.max(axis=1))
