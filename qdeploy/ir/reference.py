"""The integer graph in numpy: plain, indisputable.

Every other executor of the integer graph has to equal this one bit for bit. All is int64, but for
sums of products that a float type holds whatever their order is: where Σ|w|·max|x| stays below 2^24
in float32 or 2^53 in float64, every partial sum is an integer that the type has, and nothing is
ever rounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.errors import InternalError
from qdeploy.ir.integer_graph import (
    Add,
    ArgMax,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthToSpace,
    Dilate,
    Flatten,
    GlobalSum,
    IntArray,
    IntegerGraph,
    MaxPool,
    Node,
    Threshold,
    Upsample,
)

# Types and the integers below which each has all of them.
_EXACT: tuple[tuple[type[np.floating], int], ...] = ((np.float32, 1 << 24), (np.float64, 1 << 53))
# A count of so few thresholds is as many comparisons.
_FEW = 8


def run_reference(
    graph: IntegerGraph, codes: IntArray, *, accumulators: bool = False
) -> dict[str, IntArray]:
    """Every boundary of the graph for a batch of frames.

    Args:
        graph: the integer graph.
        codes: input codes (N, *shape) of any integer type, within the input's range.
        accumulators: give every tensor, not only the boundaries.

    Returns:
        int64 arrays (N, *shape) by tensor name.
    """
    tensors = {graph.input: np.asarray(codes).astype(np.int64)}
    for node in graph.nodes:
        tensors[node.output] = evaluate(node, *(tensors[name] for name in node.inputs))
    wanted = tensors if accumulators else graph.boundaries()
    return {name: tensors[name] for name in wanted}


def count_thresholds(acc: IntArray, thresholds: IntArray, base: int) -> IntArray:
    """base + #{k : acc >= thresholds[c, k]} for acc (N, C, ...)."""
    channels, levels = thresholds.shape
    if levels <= _FEW:
        count = np.zeros(acc.shape, dtype=np.uint8)
        for column in thresholds.T:
            count += acc >= column.reshape(channels, *([1] * (acc.ndim - 2)))
        return count.astype(np.int64) + base if base else count.astype(np.int64)
    result = np.full(acc.shape, base, dtype=np.int64)
    for channel, row in enumerate(thresholds):
        values = acc[:, channel]
        lo, hi = int(values.min(initial=0)), int(values.max(initial=0))
        if hi - lo < values.size:
            # Fewer values than sums: each is counted once.
            table = np.searchsorted(row, np.arange(lo, hi + 1), side="right")
            result[:, channel] += table[values - lo]
        else:
            result[:, channel] += np.searchsorted(row, values, side="right")
    return result


def evaluate(node: Node, *codes: npt.NDArray[np.integer]) -> IntArray:
    """One node for a batch of each of its inputs (N, *shape), codes of any integer type."""
    inputs: list[IntArray] = [np.asarray(one, dtype=np.int64) for one in codes]
    x = inputs[0]
    if isinstance(node, Conv):
        return _convolve(node, x)
    if isinstance(node, Dense):
        kind = _sum_type(node, x)
        return (x.astype(kind) @ node.weights.T.astype(kind)).astype(np.int64)
    if isinstance(node, Bias):
        return x + node.bias.reshape(1, -1, *([1] * (x.ndim - 2)))
    if isinstance(node, Threshold):
        return count_thresholds(x, node.thresholds, node.base)
    if isinstance(node, Add):
        return x + inputs[1]
    if isinstance(node, GlobalSum):
        return x.sum(axis=(2, 3))
    if isinstance(node, MaxPool):
        # No code is lower than the smallest int64: the padding never wins.
        x = _padded(x, node.pads, int(np.iinfo(np.int64).min))
        windows = np.lib.stride_tricks.sliding_window_view(x, node.kernel, axis=(2, 3))
        return windows[:, :, :: node.stride[0], :: node.stride[1]].max(axis=(4, 5))
    if isinstance(node, Concat):
        return np.concatenate(inputs, axis=1)
    if isinstance(node, Upsample | Dilate | DepthToSpace):
        return _enlarged(node, x)
    if isinstance(node, Flatten):
        return x.reshape(len(x), -1)
    if isinstance(node, ArgMax):
        return x.argmax(axis=1, keepdims=True).astype(np.int64)
    raise InternalError(f"the reference does not know {type(node).__name__} ({node.name})")


def _enlarged(node: Upsample | Dilate | DepthToSpace, x: IntArray) -> IntArray:
    frames, channels, height, width = x.shape
    if isinstance(node, Upsample):
        return x.repeat(node.factor[0], axis=2).repeat(node.factor[1], axis=3)
    if isinstance(node, Dilate):
        down, right = node.step
        sizes = (height - 1) * down + 1, (width - 1) * right + 1
        result = np.zeros((frames, channels, *sizes), dtype=x.dtype)
        result[:, :, ::down, ::right] = x
        return result
    size = node.block
    parts = x.reshape(frames, size, size, channels // size**2, height, width)
    parts = parts.transpose(0, 3, 4, 1, 5, 2)
    return parts.reshape(frames, channels // size**2, height * size, width * size)


def _sum_type(node: Conv | Dense, x: IntArray) -> type[np.number]:
    """The type in which the node's sums are exact, and quick to compute."""
    largest = max(int(x.max(initial=0)), -int(x.min(initial=0)))
    reach = largest * int(np.abs(node.weights).sum(axis=tuple(range(1, node.weights.ndim))).max())
    return next((kind for kind, limit in _EXACT if reach < limit), np.int64)


def _convolve(node: Conv, x: IntArray) -> IntArray:
    kind = _sum_type(node, x)
    weights = node.weights.astype(kind)
    x = _padded(x.astype(kind), node.pads, 0)
    out_channels, _, kh, kw = node.weights.shape
    extent = (node.dilation[0] * (kh - 1) + 1, node.dilation[1] * (kw - 1) + 1)
    windows = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(2, 3))
    windows = windows[
        :, :, :: node.stride[0], :: node.stride[1], :: node.dilation[0], :: node.dilation[1]
    ]
    frames, rows, columns = x.shape[0], *windows.shape[2:4]
    inputs, outputs = x.shape[1] // node.groups, out_channels // node.groups
    if inputs == outputs == 1:
        return np.einsum("nchwij,cij->nchw", windows, weights[:, 0]).astype(np.int64)
    # One matrix for each frame and group: a column of what is summed up for each pixel.
    terms = windows.transpose(0, 1, 4, 5, 2, 3)
    terms = terms.reshape(frames, node.groups, inputs * kh * kw, rows * columns)
    sums = weights.reshape(node.groups, outputs, inputs * kh * kw) @ terms
    return sums.astype(np.int64).reshape(frames, out_channels, rows, columns)


def _padded(x: npt.NDArray[Any], pads: tuple[int, int, int, int], code: int) -> npt.NDArray[Any]:
    top, left, bottom, right = pads
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=code)
