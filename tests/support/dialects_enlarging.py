"""QONNX by hand: what joins branches by their channels, and what makes a map larger."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from dialect_writer import Collection, DialectWriter, quantized
from dialects import Dialect
from onnx import ModelProto

Change = Callable[[DialectWriter, str], str]


def between(change: Change, channels: int, height: int, width: int, **options: Any) -> ModelProto:
    """Something on codes of (4, 6, 5); what it leaves is (channels, height, width)."""
    file, x = quantized((3, 6, 5), **options)
    y = change(file, file.block(x, 3, 4, bits=4, scale=0.25))
    y = file.block(y, channels, 4)
    return file.model(file.classes(y, 4 * height * width), (1, 5))


def resized(file: DialectWriter, y: str, *factors: int, sizes: bool = False, **how: Any) -> str:
    """A Resize in mode nearest of a map of (4, 6, 5)."""
    if sizes:
        size = np.array([1, 4, 6 * factors[0], 5 * factors[1]])
        more = ["", "", file.constant(size, np.int64)]
    else:
        more = ["", file.constant([1, 1, *factors])]
    return file.op("Resize", y, *more, mode="nearest", **how)


def transposed(
    file: DialectWriter, y: str, shape: tuple[int, ...], scale: Any = 0.25, **how: Any
) -> str:
    """A ConvTranspose of 4 channels, and a quantizer."""
    weights = file.weights(*shape, scale=scale)
    y = file.op("ConvTranspose", y, weights, kernel_shape=list(shape[2:]), **how)
    return file.activation(y, 0.5, 3)


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


def _logits_enlarged(change: Change, shape: tuple[int, ...]) -> ModelProto:
    """A class per pixel, and the layer at the end."""
    file, x = quantized((3, 6, 5))
    y = file.op("Conv", file.block(x, 3, 4), file.weights(4, 4, 1, 1), kernel_shape=[1, 1])
    return file.model(change(file, y), shape)


def _sequence() -> ModelProto:
    file = DialectWriter((1, 3, 9))
    x = file.quantizer("x", 2**-8, 8)
    w = file.weights(3, 4, 4)
    y = file.op("ConvTranspose", x, w, kernel_shape=[4], strides=[3], pads=[1, 0])
    y = file.activation(y, 0.5, 3)
    return file.model(file.classes(y, 4 * 27), (1, 5))


def unet(seed: int = 7) -> ModelProto:
    """Two steps down, two up by repetition, the map of each size beside it; classes of pixels."""
    file, x = quantized((2, 8, 12))
    file.rng = np.random.default_rng(seed)
    y, inputs, skips = x, 2, []
    for channels in (4, 6):
        y = file.block(y, inputs, channels, scale=0.25, bits=4)
        skips.append((y, channels))
        y = file.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
        inputs = channels
    y, inputs = file.block(y, 6, 8, scale=0.25, bits=4), 8
    for skip, channels in reversed(skips):
        up = file.op("Resize", y, "", file.constant([1, 1, 2, 2]), mode="nearest")
        y = file.op("Concat", up, skip, axis=1)
        y, inputs = file.block(y, inputs + channels, channels, scale=0.25, bits=4), channels
    y = file.op("Conv", y, file.weights(3, 4, 1, 1), kernel_shape=[1, 1])
    return file.model(y, (1, 3, 8, 12))


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


def decoder(seed: int = 7) -> ModelProto:
    """Up by a transposed convolution, and by a pixel shuffle at the end."""
    file, x = quantized((2, 4, 5))
    file.rng = np.random.default_rng(seed)
    y = file.block(x, 2, 4, scale=0.25, bits=4)
    how = {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}
    y = transposed(file, y, (4, 4, 3, 3), **how)
    y = file.activation(file.norm(file.conv(y, 4, 12), 12), 0.25, 4)
    y = file.op("DepthToSpace", y, blocksize=2, mode="CRD")
    y = file.op("Conv", y, file.weights(2, 3, 1, 1), kernel_shape=[1, 1])
    return file.model(y, (1, 2, 16, 20))


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
    "DenseNet": densenet,
}
RESIZES: dict[str, Callable[[], ModelProto]] = {
    "by 2": partial(between, lambda f, y: resized(f, y, 2, 2), 4, 12, 10),
    "by 3 and 2, sizes": partial(between, lambda f, y: resized(f, y, 3, 2, sizes=True), 4, 18, 10),
    "rows only": partial(between, lambda f, y: resized(f, y, 2, 1), 4, 12, 5),
    "by 1": partial(between, lambda f, y: resized(f, y, 1, 1), 4, 6, 5),
    **{
        f"{transform}, {rounding}": partial(
            between,
            lambda f, y, how=(transform, rounding): resized(
                f, y, 2, 3, coordinate_transformation_mode=how[0], nearest_mode=how[1]
            ),
            4,
            12,
            15,
        )
        for transform, rounding in (
            ("asymmetric", "floor"),
            ("half_pixel", "round_prefer_ceil"),
            ("pytorch_half_pixel", "round_prefer_floor"),
        )
    },
    "operator set 18, axes": partial(
        between,
        lambda f, y: f.op(
            "Resize",
            y,
            "",
            f.constant([2, 2]),
            mode="nearest",
            axes=[2, 3],
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        4,
        12,
        10,
        opset=18,
    ),
    "operator set 10": partial(
        between,
        lambda f, y: f.op("Resize", y, f.constant([1, 1, 2, 2]), mode="nearest"),
        4,
        12,
        10,
        opset=10,
    ),
    "Upsample": partial(
        between,
        lambda f, y: f.op("Upsample", y, f.constant([1, 1, 2, 3]), mode="nearest"),
        4,
        12,
        15,
        opset=9,
    ),
    "sums, then a quantizer": partial(
        between,
        lambda f, y: f.activation(resized(f, f.norm(f.conv(y, 4, 4), 4), 2, 2), 0.25, 4),
        4,
        12,
        10,
    ),
    "before a ReLU": partial(
        between,
        lambda f, y: f.quantizer(
            f.op("Relu", resized(f, f.op("Relu", f.conv(y, 4, 4)), 1, 2)), 0.25, 4
        ),
        4,
        6,
        10,
    ),
    "codes of -1 and +1": partial(
        between, lambda f, y: resized(f, f.bipolar(f.conv(y, 4, 4)), 2, 2), 4, 12, 10
    ),
    "zero point, padded after": partial(
        between,
        lambda f, y: resized(f, f.quantizer(f.conv(y, 4, 4), 0.25, 4, zero=5), 2, 1),
        4,
        12,
        5,
    ),
    "logits": partial(_logits_enlarged, lambda f, y: resized(f, y, 2, 2), (1, 4, 12, 10)),
    "U-Net": unet,
}
TRANSPOSED: dict[str, Callable[[], ModelProto]] = {
    "kernel 2, stride 2": partial(
        between, lambda f, y: transposed(f, y, (4, 4, 2, 2), strides=[2, 2]), 4, 12, 10
    ),
    "kernel 3, stride 2, padding of the output": partial(
        between,
        lambda f, y: transposed(
            f, y, (4, 3, 3, 3), strides=[2, 2], pads=[1] * 4, output_padding=[1, 1]
        ),
        3,
        12,
        10,
    ),
    "kernel 4, stride 2, padding 1": partial(
        between,
        lambda f, y: transposed(f, y, (4, 2, 4, 4), strides=[2, 2], pads=[1] * 4),
        2,
        12,
        10,
    ),
    "uneven": partial(
        between,
        lambda f, y: transposed(
            f, y, (4, 4, 2, 3), strides=[3, 1], pads=[0, 1, 1, 2], dilations=[1, 2]
        ),
        4,
        16,
        6,
    ),
    "stride 1": partial(between, lambda f, y: transposed(f, y, (4, 4, 3, 3)), 4, 8, 7),
    "kernel 1, stride 2": partial(
        between, lambda f, y: transposed(f, y, (4, 4, 1, 1), strides=[2, 2]), 4, 11, 9
    ),
    "groups of 2": partial(
        between,
        lambda f, y: transposed(f, y, (4, 3, 2, 2), strides=[2, 2], group=2),
        6,
        12,
        10,
    ),
    "depthwise": partial(
        between,
        lambda f, y: transposed(f, y, (4, 1, 3, 3), strides=[2, 2], pads=[1] * 4, group=4),
        4,
        11,
        9,
    ),
    "scale per channel": partial(
        between,
        lambda f, y: transposed(
            f,
            y,
            (4, 3, 2, 2),
            np.array([0.25, 0.1, 0.5]).reshape(1, 3, 1, 1),
            strides=[2, 2],
        ),
        3,
        12,
        10,
    ),
    "codes of -1 and +1": partial(
        between,
        lambda f, y: transposed(f, f.bipolar(f.conv(y, 4, 4)), (4, 4, 2, 2), strides=[2, 2]),
        4,
        12,
        10,
    ),
    "zero point": partial(
        between,
        lambda f, y: transposed(
            f, f.quantizer(f.conv(y, 4, 4), 0.25, 4, zero=5), (4, 4, 3, 2), strides=[2, 2]
        ),
        4,
        13,
        10,
    ),
    "a sequence": _sequence,
    "decoder": decoder,
}
SHUFFLES: dict[str, Callable[[], ModelProto]] = {
    "DCR": partial(
        between,
        lambda f, y: f.op("DepthToSpace", f.block(y, 4, 12), blocksize=2, mode="DCR"),
        3,
        12,
        10,
    ),
    "CRD": partial(
        between,
        lambda f, y: f.op("DepthToSpace", f.block(y, 4, 12), blocksize=2, mode="CRD"),
        3,
        12,
        10,
    ),
    "by 3": partial(
        between, lambda f, y: f.op("DepthToSpace", f.block(y, 4, 18), blocksize=3), 2, 18, 15
    ),
    "one channel, CRD": partial(
        between, lambda f, y: f.op("DepthToSpace", y, blocksize=2, mode="CRD"), 1, 12, 10
    ),
    "scales of pairs": partial(
        between,
        lambda f, y: f.op(
            "DepthToSpace",
            f.op("Mul", f.block(y, 4, 8), f.constant(np.tile([1, 2], 4).reshape(1, 8, 1, 1))),
            blocksize=2,
        ),
        2,
        12,
        10,
    ),
    "sums, then a quantizer": partial(
        between,
        lambda f, y: f.activation(
            f.op("DepthToSpace", f.conv(y, 4, 8), blocksize=2, mode="DCR"), 0.25, 4
        ),
        2,
        12,
        10,
    ),
    "logits": partial(
        _logits_enlarged,
        lambda f, y: f.op("DepthToSpace", y, blocksize=2, mode="CRD"),
        (1, 1, 12, 10),
    ),
}
FAMILIES = {
    "concat": CONCATS,
    "resize": RESIZES,
    "transposed": TRANSPOSED,
    "shuffle": SHUFFLES,
}


def enlarging_files() -> list[Dialect]:
    """Each file of this family."""
    group = Collection("enlarging")
    for family, files in FAMILIES.items():
        for name, make in files.items():
            group.add(f"{family}: {name}", make)
    return group.files
