"""Layers that make a map larger, on exact values: (N, C, H, W), and (N, C, L)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import product as every
from math import ceil, floor
from typing import Any

import numpy as np
from exact_numbers import Exact, NotInterpretedError
from exact_values import exact, moved, text_of

Attributes = Mapping[str, Any]


def depth_to_space(operands: list[Any], attributes: Attributes) -> Any:
    """ONNX DepthToSpace, both modes."""
    size, mode = attributes["blocksize"], text_of(attributes, "mode", "DCR")

    def spread(array: np.ndarray) -> np.ndarray:
        count, channels, height, width = array.shape
        rest = channels // size**2
        split = (size, size, rest) if mode == "DCR" else (rest, size, size)
        parts = array.reshape(count, *split, height, width)
        order = (0, 3, 4, 1, 5, 2) if mode == "DCR" else (0, 1, 4, 2, 5, 3)
        return parts.transpose(order).reshape(count, rest, height * size, width * size)

    return moved(operands[0], spread)


def resize(operands: list[Any], attributes: Attributes) -> Any:
    """ONNX Resize in mode nearest; the second of two inputs holds factors, as of Upsample."""
    if text_of(attributes, "mode", "nearest") != "nearest":
        raise NotInterpretedError("a Resize that mixes pixels")
    old = len(operands) == 2
    scales = operands[1] if old else operands[2] if len(operands) > 2 else None
    sizes = operands[3] if len(operands) > 3 else None
    transform = text_of(attributes, "coordinate_transformation_mode", "half_pixel")
    rounding = text_of(attributes, "nearest_mode", "round_prefer_floor")
    if old:
        transform, rounding = "asymmetric", "floor"
    shape = operands[0].shape
    axes = attributes.get("axes", range(len(shape)))
    result = operands[0]
    for place_of, axis in enumerate(axes):
        size = shape[axis]
        given = scales is not None and np.size(scales)
        scale = Fraction(float(scales[place_of])) if given else None
        count = int(sizes[place_of]) if scale is None else floor(size * scale)
        places = [
            _source(place, size, count, scale or Fraction(count, size), transform, rounding)
            for place in range(count)
        ]
        result = moved(result, lambda array, axis=axis, at=places: np.take(array, at, axis))
    return result


def _source(
    place: int, size: int, count: int, scale: Fraction, transform: str, rounding: str
) -> int:
    half = Fraction(1, 2)
    if transform == "asymmetric":
        at = place / scale
    elif transform == "align_corners":
        at = Fraction(place * (size - 1), max(count - 1, 1))
    elif transform == "pytorch_half_pixel" and count == 1:
        at = Fraction(0)
    elif transform in ("half_pixel", "pytorch_half_pixel"):
        at = (place + half) / scale - half
    else:
        raise NotInterpretedError(f"a Resize by the rule {transform}")
    choices = {
        "floor": floor(at),
        "ceil": ceil(at),
        "round_prefer_floor": ceil(at - half),
        "round_prefer_ceil": floor(at + half),
    }
    return min(max(choices[rounding], 0), size - 1)


def conv_transpose(operands: list[Any], attributes: Attributes) -> Exact:
    """ONNX ConvTranspose by its definition: every pixel adds its kernel to the output."""
    value, weights = exact(operands[0]), exact(operands[1])
    kernel, groups = weights.shape[2:], attributes.get("group", 1)
    axes = len(kernel)
    ones = [1] * axes
    strides, dilations = (attributes.get(key, ones) for key in ("strides", "dilations"))
    pads = attributes.get("pads", [0] * 2 * axes)
    more = attributes.get("output_padding", [0] * axes)
    x, w = value.numerators, weights.numerators
    sizes = [
        s * (n - 1) + d * (k - 1) + 1 + m
        for s, n, d, k, m in zip(strides, x.shape[2:], dilations, kernel, more, strict=True)
    ]
    ins, outs = len(w) // groups, w.shape[1]
    total = np.full((len(x), outs * groups, *sizes), 0, dtype=object)
    for place in every(*(range(k) for k in kernel)):
        where = tuple(
            slice(p * d, p * d + s * (n - 1) + 1, s)
            for p, d, s, n in zip(place, dilations, strides, x.shape[2:], strict=True)
        )
        for group in range(groups):
            rows = slice(group * ins, (group + 1) * ins)
            taps = w[(rows, slice(None), *place)]
            part = np.moveaxis(np.tensordot(x[:, rows], taps, axes=(1, 0)), -1, 1)
            total[(slice(None), slice(group * outs, (group + 1) * outs), *where)] += part
    kept = tuple(slice(pads[a], size - pads[a + axes]) for a, size in enumerate(sizes))
    cut = total[(slice(None), slice(None), *kept)]
    result = Exact(cut, value.denominator * weights.denominator).reduced()
    if len(operands) > 2 and operands[2] is not None:
        result = result + exact(operands[2]).moved(lambda array: array.reshape(1, -1, *ones))
    return result
