"""QONNX by hand: what makes a map larger; with `dialects_concat`, what joins branches' channels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from dialect_writer import Collection, DialectWriter, quantized
from dialects import Dialect
from dialects_concat import CONCATS, Change, between
from onnx import ModelProto


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
