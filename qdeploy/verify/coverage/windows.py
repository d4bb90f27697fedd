"""Inputs of a convolution's or a dense layer's sums, one row for each sum, and the sums."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import Conv, Dense, IntArray
from qdeploy.ir.intervals import magnitude

FloatArray = npt.NDArray[np.floating]
_EXACT: dict[np.dtype[np.floating], int] = {
    np.dtype(np.float32): 1 << 24,
    np.dtype(np.float64): 1 << 53,
}


def grouped_weights(node: Conv | Dense) -> IntArray:
    """(groups, rows, columns): each output channel's weights in the order of `windows`."""
    if isinstance(node, Dense):
        return node.weights[None]
    rows = len(node.weights) // node.groups
    return node.weights.transpose(0, 2, 3, 1).reshape(node.groups, rows, -1)


def windows(node: Conv | Dense, codes: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """What each sum is made of: (groups, positions, columns), positions frame by frame.

    Args:
        codes: (frames, *input shape) of any type; padding is 0.
    """
    if isinstance(node, Dense):
        return codes.reshape(1, len(codes), -1)
    top, left, bottom, right = node.pads
    # Channels last: what is copied are runs of channels.
    inner = np.ascontiguousarray(codes.transpose(0, 2, 3, 1))
    padded = np.pad(inner, ((0, 0), (top, bottom), (left, right), (0, 0)))
    kernel, (tall, wide) = node.weights.shape[2:], node.dilation
    extent = (tall * (kernel[0] - 1) + 1, wide * (kernel[1] - 1) + 1)
    view = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(1, 2))
    view = view[:, :: node.stride[0], :: node.stride[1], :, ::tall, ::wide]
    frames, rows, columns = view.shape[:3]
    grouped = view.reshape(frames, rows, columns, node.groups, -1, *kernel)
    ordered = grouped.transpose(3, 0, 1, 2, 5, 6, 4)
    return ordered.reshape(node.groups, frames * rows * columns, -1)


def exact_type(node: Conv | Dense, lo: int, hi: int) -> np.dtype[np.floating] | None:
    """The float type in which every partial sum of inputs in [lo, hi] is an exact integer, in
    whatever order it is added; None where there is none."""
    most = max(magnitude(node.weights, lo, hi), default=0)
    return next((kind for kind, limit in _EXACT.items() if most < limit), None)


def sums_of(weights: IntArray, inputs: npt.NDArray[np.generic]) -> IntArray:
    """Σ w·x, (positions, groups·rows), of inputs in an exact type or int64.

    Args:
        weights: (groups, rows, columns).
        inputs: (groups, positions, columns).
    """
    if len(inputs) == 1:
        return (inputs[0] @ weights[0].T.astype(inputs.dtype)).astype(np.int64)
    found = inputs @ weights.transpose(0, 2, 1).astype(inputs.dtype)
    groups, positions, rows = found.shape
    return found.astype(np.int64).transpose(1, 0, 2).reshape(positions, groups * rows)


def as_map(sums: IntArray, frames: int, shape: tuple[int, ...]) -> IntArray:
    """Sums (positions, channels) in the shape of their tensor, (frames, *shape)."""
    return np.moveaxis(sums.reshape(frames, *shape[1:], shape[0]), -1, 1)


def as_positions(values: IntArray) -> IntArray:
    """(positions, channels) of values (frames, channels, ...)."""
    return np.moveaxis(values, 1, -1).reshape(-1, values.shape[1])
