"""QONNX and QCDQ by hand: sequences (N, C, L), and linear layers shared by all positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from dialect_writer import Collection, DialectWriter, image
from dialects import Dialect
from onnx import ModelProto

Frame = tuple[int, ...]


class SequenceWriter(DialectWriter):
    """Layers of sequences; each has an odd kernel and keeps the length, if not told otherwise."""

    def windows(self, y: str, inputs: int, outputs: int, size: int = 3, **how: Any) -> str:
        how = {"kernel_shape": [size], "pads": [size // 2, size // 2], **how}
        weights = self.weights(outputs, inputs // how.get("group", 1), size)
        return self.op("Conv", y, weights, **how)

    def layer(self, y: str, inputs: int, outputs: int, size: int = 3, **how: Any) -> str:
        sums = self.windows(y, inputs, outputs, size, **how)
        return self.activation(self.norm(sums, outputs), 0.5, 3)


def sequence(shape: Frame = (2, 24), **options: Any) -> tuple[SequenceWriter, str]:
    """A file and its input in 8 signed bits."""
    file = SequenceWriter((1, *shape), **options)
    return file, file.quantizer("x", 2**-7, 8, signed=1)


def _after_layer(change: Callable[[SequenceWriter, str], str], features: int) -> ModelProto:
    file, x = sequence()
    y = change(file, file.layer(x, 2, 4))
    return file.model(file.classes(y, features), (1, 5))


def _vector(change: Callable[[SequenceWriter, str], str]) -> ModelProto:
    """A mean over the length that leaves (N, 4), and the last layer."""
    file, x = sequence()
    return file.model(file.head(change(file, file.layer(x, 2, 4)), 4), (1, 5))


def radio() -> ModelProto:
    """As a VGG of radio signals: convolutions and max-pools of two channels, then vectors."""
    file, y = sequence((2, 64))
    for inputs in (2, 4, 4):
        y = file.layer(y, inputs, 4)
        y = file.op("MaxPool", y, kernel_shape=[2], strides=[2])
    y = file.op("MatMul", file.flat(y), file.weights(32, 8))
    return file.model(file.head(file.activation(file.norm(y, 8)), 8), (1, 5))


def separable() -> ModelProto:
    """As QuartzNet: depthwise and pointwise convolutions with a residual sum; a class per step."""
    file, y = sequence((4, 32))
    y = shortcut = file.layer(y, 4, 8, 11, strides=[2])
    y = file.windows(y, 8, 8, 5, pads=[4, 4], dilations=[2], group=8)
    y = file.windows(file.quantizer(y, 0.25, 6, signed=1), 8, 8, 1)
    y = file.quantizer(file.norm(y, 8), 0.5, 4, signed=1)
    y = file.quantizer(file.op("Relu", file.op("Add", y, shortcut)), 0.5, 3)
    return file.model(file.windows(y, 8, 5, 1), (1, 5, 16))


def _pooled_vector() -> ModelProto:
    file, x = sequence()
    y = file.op("GlobalAveragePool", file.layer(x, 2, 4))
    return file.model(file.windows(y, 4, 5, 1), (1, 5, 1))


def _padded(**how: Any) -> ModelProto:
    file, x = sequence(opset=18)
    if how.get("axes"):
        ends = file.constant([2, 1], np.int64), "", file.constant([-1], np.int64)
        y = file.op("Pad", x, *ends)
    else:
        y = file.op("Pad", x, file.constant([0, 0, 2, 0, 0, 1], np.int64))
    y = file.layer(y, 2, 4, pads=[0, 0])
    return file.model(file.classes(y, 100), (1, 5))


def _same() -> ModelProto:
    file, x = sequence()
    y = file.op(
        "Conv", x, file.weights(4, 2, 3), kernel_shape=[3], auto_pad="SAME_LOWER", strides=[2]
    )
    return file.model(file.classes(file.activation(y), 48), (1, 5))


def _last(*, raw: bool) -> ModelProto:
    """Frames (length, channels), turned before or after their quantizer, and back at the end."""
    file = SequenceWriter((1, 24, 2))
    if raw:
        x = file.quantizer(file.op("Transpose", "x", perm=[0, 2, 1]), 2**-7, 8, signed=1)
    else:
        x = file.op("Transpose", file.quantizer("x", 2**-7, 8, signed=1), perm=[0, 2, 1])
    y = file.op("Transpose", file.layer(x, 2, 4), perm=[0, 2, 1])
    return file.model(file.classes(y, 96), (1, 5))


def _wave(*, raw: bool) -> ModelProto:
    """Frames (length,) that get their one channel in the file."""
    file = SequenceWriter((1, 24))
    axis = file.constant([1], np.int64)
    x = "x"
    for step in ("axis", "codes") if raw else ("codes", "axis"):
        codes = step == "codes"
        x = file.quantizer(x, 2**-7, 8, signed=1) if codes else file.op("Unsqueeze", x, axis)
    return file.model(file.classes(file.layer(x, 1, 4), 96), (1, 5))


def _row() -> ModelProto:
    """Frames (channels, 1, length)."""
    file, x = sequence((2, 1, 24))
    y = file.layer(file.op("Squeeze", x, file.constant([2], np.int64)), 2, 4)
    return file.model(file.classes(y, 96), (1, 5))


def _flat() -> ModelProto:
    file, x = sequence((2, 8))
    return file.model(file.classes(x, 16), (1, 5))


def _per_channel() -> ModelProto:
    file, x = sequence()
    scales = np.array([0.5, 0.25, 1, 0.125]).reshape(1, 4, 1)
    y = file.quantizer(file.op("Relu", file.windows(x, 2, 4)), scales, 4)
    y = file.activation(file.windows(y, 4, 4, group=4))
    return file.model(file.classes(y, 96), (1, 5))


def _qdq() -> ModelProto:
    file = image((2, 24))
    x = file.qdq("x", 2**-7, 0, np.int8)
    scales = np.array([0.1, 0.2, 0.3, 0.15])
    codes = file.rng.integers(-7, 8, (4, 2, 3)).astype(np.int8)
    w = file.stored(codes, scales, np.zeros(4), axis=0)
    y = file.op("Conv", x, w, kernel_shape=[3], pads=[1, 1])
    y = file.qdq(file.op("Relu", y), 0.05, 3, np.uint8)
    rows = file.stored(file.rng.integers(-7, 8, (96, 5)).astype(np.int8), 0.1)
    return file.model(file.op("MatMul", file.flat(y), rows), (1, 5))


def _shared(change: Callable[[SequenceWriter, str], str], shape: Frame = (6, 8)) -> ModelProto:
    """A linear layer with bias for each of six positions, then something."""
    file, x = sequence(shape)
    y = file.op("MatMul", x, file.weights(8, 4))
    y = file.activation(file.op("Add", y, file.constant(file.rng.normal(size=4))))
    return file.model(change(file, y))


def _mixed() -> ModelProto:
    """A convolution, then a linear layer for each step."""
    file, x = sequence()
    y = file.op("Transpose", file.layer(x, 2, 4), perm=[0, 2, 1])
    return file.model(file.op("MatMul", y, file.weights(4, 3)), (1, 24, 3))


def _over_length() -> ModelProto:
    """A linear layer over the steps of each channel: its input would have to be stored."""
    file, x = sequence()
    return file.model(file.op("MatMul", file.layer(x, 2, 4), file.weights(24, 3)), (1, 4, 3))


FILES: dict[str, Callable[[], ModelProto]] = {
    "radio signals": radio,
    "separable, residual": separable,
    "max-pool": lambda: _after_layer(
        lambda f, y: f.op("MaxPool", y, kernel_shape=[3], strides=[2], pads=[1, 1]), 48
    ),
    "max-pool with ceil_mode": lambda: _after_layer(
        lambda f, y: f.op("MaxPool", y, kernel_shape=[3], strides=[2], ceil_mode=1), 48
    ),
    "AveragePool, quantizer": lambda: _after_layer(
        lambda f, y: f.quantizer(f.op("AveragePool", y, kernel_shape=[3], strides=[3]), 0.125, 4),
        32,
    ),
    "AveragePool with padding": lambda: _after_layer(
        lambda f, y: f.op("AveragePool", y, kernel_shape=[3], pads=[1, 1], strides=[2]), 48
    ),
    "GlobalAveragePool": lambda: _after_layer(lambda f, y: f.op("GlobalAveragePool", y), 4),
    "GlobalAveragePool, Squeeze": lambda: _vector(
        lambda f, y: f.op("Squeeze", f.op("GlobalAveragePool", y), f.constant([2], np.int64))
    ),
    "ReduceMean": lambda: _vector(lambda f, y: f.op("ReduceMean", y, axes=[-1], keepdims=0)),
    "ReduceMean with an axis of one": lambda: _after_layer(
        lambda f, y: f.op("ReduceMean", y, axes=[2], keepdims=1), 4
    ),
    "1x1 convolution on a pooled vector": _pooled_vector,
    "Pad": _padded,
    "Pad with axes": lambda: _padded(axes=True),
    "SAME_LOWER": _same,
    "length, channels": lambda: _last(raw=False),
    "length, channels, turned before the codes": lambda: _last(raw=True),
    "one channel added": lambda: _wave(raw=False),
    "one channel added before the codes": lambda: _wave(raw=True),
    "frames of one row": _row,
    "flattened": _flat,
    "scale per channel, depthwise": _per_channel,
    "QDQ, weights per channel": _qdq,
    "shared linear layers": lambda: _shared(lambda f, y: f.op("MatMul", y, f.weights(4, 3))),
    "shared linear layer, mean": lambda: _shared(
        lambda f, y: f.head(f.op("ReduceMean", y, axes=[1], keepdims=0), 4)
    ),
    "shared linear layer, Flatten": lambda: _shared(lambda f, y: f.classes(y, 24)),
    "shared linear layer of a map": lambda: _shared(lambda f, y: f.classes(y, 48), (3, 4, 8)),
    "convolution, shared linear layer": _mixed,
    "linear layer over the length": _over_length,
}


def sequence_files() -> list[Dialect]:
    """Each file of this family."""
    group = Collection("sequence")
    for name, make in FILES.items():
        group.add(name, make)
    return group.files
