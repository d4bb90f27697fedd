"""Where the elements of Concat, Resize and DepthToSpace come from, by ONNX's definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.errors import InternalError
from qdeploy.ir.integer_graph import IntArray

Shapes = Sequence[tuple[int, ...]]
Attributes = Mapping[str, Any]
Constants = Sequence[npt.NDArray[Any] | None]
# For each input: which of the elements asked for are its own, and where they are in it.
Places = list[tuple[npt.NDArray[np.bool_], IntArray]]


def _concat(index: IntArray, shapes: Shapes, attributes: Attributes, _: Constants) -> Places:
    axis, start, found = int(attributes["axis"]), 0, Places()
    for shape in shapes:
        rows = (index[:, axis] >= start) & (index[:, axis] < start + shape[axis])
        own = index[rows].copy()
        own[:, axis] -= start
        found.append((rows, own))
        start += shape[axis]
    return found


def _depth_to_space(
    index: IntArray, shapes: Shapes, attributes: Attributes, _: Constants
) -> Places:
    size = int(attributes["blocksize"])
    channels = shapes[0][1] // size**2
    own = index.copy()
    own[:, 2:] //= size
    square = index[:, 2] % size * size + index[:, 3] % size
    if attributes.get("mode", b"DCR") == b"CRD":
        own[:, 1] = index[:, 1] * size**2 + square
    else:
        own[:, 1] = square * channels + index[:, 1]
    return [(np.ones(len(index), dtype=bool), own)]


def _resize(
    index: IntArray, shapes: Shapes, attributes: Attributes, constants: Constants
) -> Places:
    """Nearest only; a file before operator set 11 has its factors as its second input."""
    own = index.copy()
    old = "coordinate_transformation_mode" not in attributes and len(constants) == 2
    transform = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    rounding = attributes.get("nearest_mode", b"round_prefer_floor").decode()
    if old:
        transform, rounding = "asymmetric", "floor"
    factors = _factors(shapes[0], constants)
    for axis in range(2, len(shapes[0])):
        size, scale = shapes[0][axis], factors[axis]
        table = [
            min(max(_nearest(place, size, scale, transform, rounding), 0), size - 1)
            for place in range(int(size * scale))
        ]
        own[:, axis] = np.array(table, dtype=np.int64)[index[:, axis]]
    return [(np.ones(len(index), dtype=bool), own)]


def _factors(shape: tuple[int, ...], constants: Constants) -> list[Fraction]:
    given = [one for one in constants[1:] if one is not None and one.size == len(shape)]
    if not given:
        raise InternalError("a Resize whose factors are not constants of every axis")
    last = given[-1]
    if np.issubdtype(last.dtype, np.integer):
        return [Fraction(int(n), size) for n, size in zip(last, shape, strict=True)]
    return [Fraction(float(n)) for n in last]


def _nearest(place: int, size: int, scale: Fraction, transform: str, rounding: str) -> int:
    half = Fraction(1, 2)
    if transform == "asymmetric":
        at = place / scale
    elif transform == "align_corners":
        at = Fraction(place * (size - 1), max(int(size * scale) - 1, 1))
    else:  # the other rules for the middle of a pixel are the same for integer factors
        at = (place + half) / scale - half
    match rounding:
        case "floor":
            return floor(at)
        case "ceil":
            return ceil(at)
        case "round_prefer_ceil":
            return floor(at + half)
    return ceil(at - half)


def by_output(array: npt.NDArray[Any], groups: int) -> npt.NDArray[Any]:
    """Weights (in, out / groups, …) of a ConvTranspose as (out, in / groups, …)."""
    inputs, outputs, *kernel = array.shape
    split = array.reshape(groups, inputs // groups, outputs, *kernel)
    return split.swapaxes(1, 2).reshape(groups * outputs, inputs // groups, *kernel)


MOVES: Mapping[str, Callable[[IntArray, Shapes, Attributes, Constants], Places]] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Resize": _resize,
    "Upsample": _resize,
}
