"""QONNX by hand: what joins branches by their channels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from dialect_writer import DialectWriter, quantized
from onnx import ModelProto

Change = Callable[[DialectWriter, str], str]


def between(change: Change, channels: int, height: int, width: int, **options: Any) -> ModelProto:
    """Something on codes of (4, 6, 5); what it leaves is (channels, height, width)."""
    file, x = quantized((3, 6, 5), **options)
    y = change(file, file.block(x, 3, 4, bits=4, scale=0.25))
    y = file.block(y, channels, 4)
    return file.model(file.classes(y, 4 * height * width), (1, 5))


def _branch(
    file: DialectWriter, y: str, channels: int = 2, scale: float = 0.25, bits: int = 4, **how: Any
) -> str:
    return file.quantizer(
        file.norm(file.conv(y, 4, channels), channels), scale, bits, signed=1, **how
    )


def _sums(file: DialectWriter, y: str, *, relu: bool) -> str:
    parts = [file.norm(file.conv(y, 4, 2), 2), file.conv(y, 4, 4)]
    if relu:
        parts = [file.op("Relu", part) for part in parts]
    return file.quantizer(file.op("Concat", *parts, axis=1), 0.25, 4, signed=1 - relu)


def _vectors() -> ModelProto:
    file, x = quantized((3, 6, 5))
    y = file.block(x, 3, 4, bits=4, scale=0.25)
    pooled = [
        file.quantizer(file.op("GlobalAveragePool", part), 0.125, 5)
        for part in (y, file.block(y, 4, 3, bits=4))
    ]
    y = file.flat(file.op("Concat", *pooled, axis=1))
    return file.model(file.head(y, 7), (1, 5))


def _of_vectors() -> ModelProto:
    file, x = quantized((20,))
    left = file.activation(file.op("MatMul", x, file.weights(20, 6)), 0.5, 3)
    right = file.quantizer(file.op("MatMul", left, file.weights(6, 5)), 0.25, 4, signed=1)
    y = file.op("Concat", left, right, axis=-1)
    return file.model(file.head(y, 11), (1, 5))


def _input_among_them() -> ModelProto:
    file, x = quantized((3, 6, 5))
    y = file.op("Concat", file.block(x, 3, 4, scale=2**-6, bits=4), x, axis=1)
    return file.model(file.classes(file.block(y, 7, 4), 120), (1, 5))


def _sequences() -> ModelProto:
    """A U-Net of one axis."""
    file = DialectWriter((1, 2, 12))
    x = file.quantizer("x", 2**-8, 8)

    def layer(source: str, inputs: int, outputs: int) -> str:
        w = file.weights(outputs, inputs, 3)
        return file.activation(file.op("Conv", source, w, kernel_shape=[3], pads=[1, 1]), 0.5, 3)

    skip = layer(x, 2, 4)
    y = layer(file.op("MaxPool", skip, kernel_shape=[2], strides=[2]), 4, 6)
    y = file.op("Resize", y, "", file.constant([1, 1, 2]), mode="nearest")
    y = layer(file.op("Concat", y, skip, axis=1), 10, 3)
    return file.model(file.classes(y, 36), (1, 5))


def _channels_last() -> ModelProto:
    """As Keras' exporters write it: maps as (N, H, W, C) between the convolutions."""
    file = DialectWriter((1, 6, 5, 3))
    y = file.quantizer("x", 2**-8, 8)
    first, last = [0, 3, 1, 2], [0, 2, 3, 1]

    def layer(source: str, inputs: int, outputs: int) -> str:
        sums = file.conv(file.op("Transpose", source, perm=first), inputs, outputs)
        return file.activation(file.op("Transpose", sums, perm=last), 0.5, 3)

    left = layer(y, 3, 4)
    y = layer(file.op("Concat", left, layer(left, 4, 2), axis=3), 6, 3)
    y = file.op("Concat", y, left, axis=-1)
    return file.model(file.classes(y, 210), (1, 5))


def densenet(seed: int = 7) -> ModelProto:
    """Batch norm, ReLU, quantizer, convolution; each layer's channels beside all before it."""
    file, x = quantized((3, 6, 6))
    file.rng = np.random.default_rng(seed)
    y, channels = file.quantizer(file.norm(file.conv(x, 3, 4), 4), 0.25, 5, signed=1), 4
    for _ in range(3):
        inner = file.activation(file.norm(y, channels), 0.25, 3)
        new = file.quantizer(file.conv(inner, channels, 3), 0.25, 5, signed=1)
        y, channels = file.op("Concat", y, new, axis=1), channels + 3
    y = file.activation(file.norm(y, channels), 0.25, 4)
    y = file.flat(file.op("GlobalAveragePool", y))
    return file.model(file.head(y, channels), (1, 5))


CONCATS: dict[str, Callable[[], ModelProto]] = {
    "one scale": partial(between, lambda f, y: f.op("Concat", y, _branch(f, y), axis=1), 6, 6, 5),
    "last axis but two": partial(
        between, lambda f, y: f.op("Concat", _branch(f, y), y, axis=-3), 6, 6, 5
    ),
    "scales 1:2": partial(
        between, lambda f, y: f.op("Concat", y, _branch(f, y, 3, 0.5), axis=1), 7, 6, 5
    ),
    "scales without a ratio, quantizer": partial(
        between,
        lambda f, y: f.quantizer(f.op("Concat", y, _branch(f, y, 3, 0.3), axis=1), 0.2, 5),
        7,
        6,
        5,
    ),
    "three branches and types": partial(
        between,
        lambda f, y: f.op("Concat", _branch(f, y, bits=2), y, _branch(f, y, 1, 0.5, 6), axis=1),
        7,
        6,
        5,
    ),
    "itself": partial(between, lambda f, y: f.op("Concat", y, y, axis=1), 8, 6, 5),
    "one branch": partial(between, lambda f, y: f.op("Concat", y, axis=1), 4, 6, 5),
    "zero points, batch norm": partial(
        between,
        lambda f, y: f.activation(
            f.norm(f.op("Concat", y, _branch(f, y, zero=3), axis=1), 6, negative=True), 0.25, 4
        ),
        6,
        6,
        5,
    ),
    "codes of -1 and +1": partial(
        between,
        lambda f, y: f.op("Concat", f.bipolar(f.conv(y, 4, 4)), f.bipolar(f.conv(y, 4, 2)), axis=1),
        6,
        6,
        5,
    ),
    "sums, then a quantizer": partial(between, partial(_sums, relu=False), 6, 6, 5),
    "sums with ReLU, then a quantizer": partial(between, partial(_sums, relu=True), 6, 6, 5),
    "averages": _vectors,
    "vectors": _of_vectors,
    "the input among them": _input_among_them,
    "a max-pool of all": partial(
        between,
        lambda f, y: f.op(
            "MaxPool",
            f.op("Concat", y, _branch(f, y), axis=1),
            kernel_shape=[2, 1],
            strides=[2, 1],
        ),
        6,
        3,
        5,
    ),
    "sequences": _sequences,
    "channels last": _channels_last,
    "DenseNet": densenet,
}
