"""QONNX by hand: what a file does with its input before it is codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from dialect_writer import Collection, DialectWriter, image
from dialects import Dialect
from onnx import ModelProto, TensorProto

MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def _finished(file: DialectWriter, x: str, **options: Any) -> ModelProto:
    y = file.block(x, 3, 4)
    return file.model(file.classes(y, 144), (1, 5), **options)


def _prepared(*steps: tuple[str, Any], scale: float = 2**-7, signed: int = 1) -> ModelProto:
    """Operations with constants, then the quantizer."""
    file, x = image(), "x"
    for kind, value in steps:
        array = np.asarray(value, np.float32)
        x = file.op(kind, x, file.constant(array.reshape(1, -1, 1, 1) if array.ndim else array))
    return _finished(file, file.quantizer(x, scale, 8, signed=signed))


def _uint8(annotation: str | None = None, *, cast: bool = True) -> ModelProto:
    """Raw bytes: by the type of the input, or by FINN's annotation of it."""
    file = image()
    x = file.op("Cast", "x", to=TensorProto.FLOAT) if cast else "x"
    x = file.op("Div", x, file.constant(255.0))
    x = file.quantizer(x, 2**-8, 8)
    if annotation is None:
        return _finished(file, x, input_type=TensorProto.UINT8)
    return _annotated(_finished(file, x), annotation)


def _annotated(model: ModelProto, kind: str) -> ModelProto:
    note = model.graph.quantization_annotation.add()
    note.tensor_name = "x"
    entry = note.quant_parameter_tensor_names.add()
    entry.key, entry.value = "finn_datatype", kind
    return model


def _unquantized(scale: float = 0.5) -> ModelProto:
    """No input quantizer: the first layer reads the integers."""
    file = image()
    return _finished(file, "x")


def _channels_last(quantizer_first: bool) -> ModelProto:
    file = image((6, 6, 3))
    x = file.quantizer("x", 2**-8, 8) if quantizer_first else "x"
    x = file.op("Transpose", x, perm=[0, 3, 1, 2])
    x = x if quantizer_first else file.quantizer(x, 2**-8, 8)
    return _finished(file, x)


def _dense(make: Callable[[DialectWriter], str], features: int = 20) -> ModelProto:
    file = image((features,))
    y = file.activation(file.op("MatMul", make(file), file.weights(features, 8)), 0.5, 3)
    return file.model(file.head(y, 8), (1, 5))


def _padded_bipolar() -> ModelProto:
    file = image()
    return _finished(file, file.bipolar("x"))


def _flatten_first(after: bool) -> ModelProto:
    file = image((1, 4, 5))
    x = file.quantizer("x", 2**-8, 8) if after else "x"
    x = file.flat(x)
    x = x if after else file.quantizer(x, 2**-8, 8)
    y = file.activation(file.op("MatMul", x, file.weights(20, 8)), 0.5, 3)
    return file.model(file.head(y, 8), (1, 5))


def _signed(bits: int, scale: float, zero: int = 0, **how: Any) -> ModelProto:
    file = image()
    signed = how.pop("signed", 1)
    return _finished(file, file.quantizer("x", scale, bits, signed=signed, zero=zero, **how))


def input_files() -> list[Dialect]:
    """Each file of this family."""
    group = Collection("input")
    group.add("2x - 1", lambda: _prepared(("Mul", 2.0), ("Sub", 1.0)))
    group.add("x/255", lambda: _prepared(("Div", 255.0), scale=1 / 255, signed=0))
    group.add("x/255, 2x - 1", lambda: _prepared(("Div", 255.0), ("Mul", 2.0), ("Sub", 1.0)))
    group.add("x - 127.5, x/127.5", lambda: _prepared(("Sub", 127.5), ("Div", 127.5)))
    group.add(
        "mean and deviation", lambda: _prepared(("Sub", MEAN), ("Div", DEVIATION), scale=2**-5)
    )
    group.add(
        "x/255, mean and deviation",
        lambda: _prepared(("Div", 255.0), ("Sub", MEAN), ("Div", DEVIATION), scale=2**-5),
    )
    group.add("negative factor", lambda: _prepared(("Mul", -1.0)))
    group.add("bytes by type, Cast, /255", _uint8)
    group.add("bytes by annotation", lambda: _uint8("UINT8", cast=False))
    group.add("no quantizer, --input uint8:1/256", _unquantized, "uint8:1/256")
    group.add("no quantizer, --input int8:0.0078125", _unquantized, "int8:0.0078125")
    group.add("no quantizer, --input uint8:1/128:128", _unquantized, "uint8:1/128:128")
    group.add("no quantizer, --input int4", _unquantized, "int4")
    for kind in ("UINT8", "INT8", "BIPOLAR", "TERNARY", "INT4", "UINT2"):
        group.add(f"no quantizer, annotated {kind}", lambda k=kind: _annotated(_unquantized(), k))
    group.add("rows, columns, channels, then codes", lambda: _channels_last(False))
    group.add("codes, then rows, columns, channels", lambda: _channels_last(True))
    group.add("Flatten before the quantizer", lambda: _flatten_first(False))
    group.add("Flatten after the quantizer", lambda: _flatten_first(True))
    for bits in (2, 3, 4, 5, 6, 7, 8):
        group.add(f"signed {bits} bits", lambda b=bits: _signed(b, 2.0 ** (1 - b)))
    group.add("signed 8 bits, scale 0.013", lambda: _signed(8, 0.013))
    group.add("signed 8 bits, narrow", lambda: _signed(8, 2**-7, narrow=1))
    group.add("signed 8 bits, zero point 20", lambda: _signed(8, 2**-7, 20))
    group.add("8 bits, zero point 128", lambda: _signed(8, 2**-7, 128, signed=0))
    group.add("16 bits", lambda: _signed(16, 2**-15))
    group.add("10 bits", lambda: _signed(10, 2**-10, signed=0))
    group.add("negative scale", lambda: _signed(8, -(2**-7)))
    group.add("FLOOR", lambda: _signed(8, 2**-7, rounding="FLOOR"))
    group.add("bipolar, dense", lambda: _dense(lambda file: file.bipolar("x")))
    group.add("bipolar, convolution with padding", _padded_bipolar)
    group.add("one bit, dense", lambda: _dense(lambda file: file.quantizer("x", 1.0, 1)))
    group.add("300 features", lambda: _dense(lambda file: file.quantizer("x", 2**-8, 8), 300))
    return group.files
