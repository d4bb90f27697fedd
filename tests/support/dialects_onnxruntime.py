"""QCDQ: by onnxruntime's static quantizer from float networks, and by hand."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from dialect_writer import Collection, DialectWriter
from dialects import Dialect
from onnx import ModelProto

SHAPE = (3, 6, 6)


def _float_network(kind: str) -> ModelProto:
    """A float network of 6x6 maps."""
    file = DialectWriter((1, *SHAPE), opset=13)

    def conv(x: str, inputs: int, outputs: int) -> str:
        w = file.constant(file.rng.normal(size=(outputs, inputs, 3, 3)) * 0.3)
        bias = file.constant(file.rng.normal(size=outputs) * 0.1)
        return file.op("Conv", x, w, bias, kernel_shape=[3, 3], pads=[1] * 4)

    y = file.op("Relu", conv("x", 3, 4))
    size = 144
    if kind == "residual":
        y = file.op("Relu", file.op("Add", conv(y, 4, 4), y))
    elif kind == "pool":
        y, size = file.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), 36
    elif kind == "average":
        y, size = file.op("GlobalAveragePool", conv(y, 4, 4)), 4
    elif kind == "LeakyRelu":
        y = file.op("LeakyRelu", conv(y, 4, 4), alpha=0.125)
    elif kind == "Concat":
        y, size = file.op("Concat", y, file.op("Relu", conv(y, 4, 4)), axis=1), 288
    elif kind == "Sigmoid":
        y = file.op("Sigmoid", conv(y, 4, 4))
    y = file.flat(y)
    w = file.constant(file.rng.normal(size=(5, size)) * 0.3)
    bias = file.constant(file.rng.normal(size=5))
    y = file.op("Gemm", y, w, bias, transB=1)
    y = file.op("Softmax", y, axis=1) if kind == "softmax" else y
    return file.model(y, (1, 5))


def _quantize(path: Path, kind: str, **how: Any) -> None:
    """Post-training quantization of a float network, calibrated with 16 frames."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Frames(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            low = -1.0 if how.get("signed") else 0.0
            values = np.random.default_rng(3).uniform(low, 1, (16, 1, *SHAPE))
            self.left: Iterator[dict[str, np.ndarray]] = iter(
                [{"x": frame} for frame in values.astype(np.float32)]
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    options = {key: value for key, value in how.items() if key != "signed"}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source = Path(folder) / "float.onnx"
        onnx.save(_float_network(kind), source)
        quantize_static(source, path, Frames(), quant_format=QuantFormat.QDQ, **options)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _by_hand(**how: Any) -> ModelProto:
    """Input, convolution with an int32 bias, activations, fully connected layer."""
    opset = how.get("opset", 13)
    file = DialectWriter((1, *SHAPE), opset=opset)
    x = file.qdq("x", *how.get("input", (2**-8,)))
    codes = file.rng.integers(-7, 8, (4, 3, 3, 3)).astype(how.get("weights", np.int8))
    w = file.stored(codes, how.get("w_scale", 0.125), how.get("w_zero", 0), how.get("axis"))
    bias = file.stored(file.rng.integers(-300, 300, 4).astype(np.int32), 2**-11)
    pads = [1] * 4 if how.get("pad") else [0] * 4
    y = file.op("Conv", x, w, bias, kernel_shape=[3, 3], pads=pads)
    y = file.op("Relu", y) if how.get("relu", True) else y
    y = file.qdq(
        y, how.get("scale", 0.25), how.get("zero", 0), how.get("dtype", np.uint8), how.get("clip")
    )
    if how.get("pool"):
        y = file.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    size = (144 if how.get("pad") else 64) // (4 if how.get("pool") else 1)
    rows = file.stored(file.rng.integers(-7, 8, (size, 5)).astype(np.int8), 0.0625)
    y = file.op("MatMul", file.flat(y), rows)
    y = file.qdq(y, 0.25, 0, np.int8) if how.get("last") else y
    for node in file.nodes if how.get("microsoft") else ():
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.domain = "com.microsoft"
    return file.model(y, (1, 5), ir_version=10)


def onnxruntime_files() -> list[Dialect]:
    """Each file of this family."""
    from onnxruntime.quantization import CalibrationMethod, QuantType

    group = Collection("onnxruntime")
    variants: dict[str, tuple[str, dict[str, Any]]] = {
        "plain, uint8": ("plain", {}),
        "plain, int8": ("plain", {"activation_type": QuantType.QInt8}),
        "per channel": ("plain", {"per_channel": True}),
        "entropy": ("plain", {"calibrate_method": CalibrationMethod.Entropy}),
        "percentile": ("plain", {"calibrate_method": CalibrationMethod.Percentile}),
        "uint8 weights": ("plain", {"weight_type": QuantType.QUInt8}),
        "reduced range": ("plain", {"reduce_range": True}),
        "signed input": ("plain", {"signed": True}),
        "symmetric activations": (
            "plain",
            {"activation_type": QuantType.QInt8, "extra_options": {"ActivationSymmetric": True}},
        ),
        "int16 activations": (
            "plain",
            {
                "activation_type": QuantType.QInt16,
                "extra_options": {"UseQDQContribOps": True, "ActivationSymmetric": True},
            },
        ),
        "int4 weights": ("plain", {"weight_type": QuantType.QInt4}),
        "residual": ("residual", {}),
        "residual, per channel, int8": (
            "residual",
            {"per_channel": True, "activation_type": QuantType.QInt8},
        ),
        "max-pool": ("pool", {}),
        "global average": ("average", {}),
        "LeakyRelu": ("LeakyRelu", {}),
        "Concat": ("Concat", {}),
        "Sigmoid": ("Sigmoid", {}),
        "Softmax": ("softmax", {}),
    }
    for name, (kind, how) in variants.items():
        group.write(name, lambda path, k=kind, h=how: _quantize(path, k, **h))
    group.files += _written()
    return group.files


def _written() -> list[Dialect]:
    group = Collection("qdq")
    per_channel = {"w_scale": np.array([0.1, 0.125, 0.25, 0.3]), "w_zero": [0] * 4, "axis": 0}
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        "padding": {"pad": True},
        "max-pool": {"pad": True, "pool": True},
        "signed activations": {"dtype": np.int8, "relu": False},
        "four bits by Clip": {"clip": (0, 15)},
        "signed four bits by Clip": {"dtype": np.int8, "clip": (-8, 7), "relu": False},
        "zero point 100": {"zero": 100, "relu": False},
        "zero point 100 with padding": {"zero": 100, "relu": False, "pad": True},
        "zero point -128": {"zero": -128, "dtype": np.int8},
        "input zero point 128": {"input": (2**-7, 128)},
        "input zero point 128 with padding": {"input": (2**-7, 128), "pad": True},
        "input of int8": {"input": (2**-7, 0, np.int8)},
        "weights per channel": per_channel,
        "weights with a zero point": {"w_zero": 3},
        "quantized logits": {"last": True},
        "scale 0.1": {"scale": 0.1},
        "int4 weights": {"opset": 21, "weights": ml_dtypes.int4},
        "int4 weights per channel": {"opset": 21, "weights": ml_dtypes.int4, **per_channel},
        "uint4 activations": {"opset": 21, "dtype": ml_dtypes.uint4, "pad": True},
        "int4 activations": {"opset": 21, "dtype": ml_dtypes.int4, "relu": False, "zero": -3},
        "int16 activations": {"opset": 21, "dtype": np.int16, "scale": 0.001, "relu": False},
        "uint16 activations": {"opset": 21, "dtype": np.uint16, "scale": 0.001},
        "onnxruntime's domain": {"microsoft": True},
        "onnxruntime's domain, int16": {
            "microsoft": True,
            "dtype": np.int16,
            "scale": 0.001,
            "relu": False,
        },
        "onnxruntime's domain, uint16": {"microsoft": True, "dtype": np.uint16, "scale": 0.001},
        "onnxruntime's domain, int4 weights": {
            "microsoft": True,
            "weights": ml_dtypes.int4,
            **per_channel,
        },
    }
    for name, how in variants.items():
        group.add(name, lambda h=how: _by_hand(**h))
    return group.files
