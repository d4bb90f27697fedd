"""Windows that are one row or one column off: whether a frame's codes tell.

The fault: a convolution or a pool reads its padded map one pixel further up, down, left or right,
and at the edge the other end of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qdeploy.ir.integer_graph import Conv, IntArray, MaxPool, Node
from qdeploy.ir.reference import evaluate
from qdeploy.verify.coverage.windows import (
    as_positions,
    exact_type,
    grouped_weights,
    sums_of,
    windows,
)

# Axis of the frame's map, and which way.
SHIFTS = ((1, 1), (1, -1), (2, 1), (2, -1))


def shifts_of(node: Node, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """The shifts that are faults of a node with an input of this shape; none for what has no
    windows."""
    if not isinstance(node, Conv | MaxPool):
        return []
    kernel = node.weights.shape[2:] if isinstance(node, Conv) else node.kernel
    if max(*kernel, *node.stride) == 1:
        return []
    top, left, bottom, right = node.pads
    size = (0, shape[1] + top + bottom, shape[2] + left + right)
    return [(axis, way) for axis, way in SHIFTS if size[axis] > 1]


def shifted(
    node: Conv | MaxPool, codes: IntArray, shift: tuple[int, int], lo: int, hi: int
) -> IntArray:
    """What the node gives with its windows shifted, (positions, channels).

    Args:
        codes: (frames, *input shape), all in [lo, hi].
        shift: one of `SHIFTS`.
    """
    axis, way = shift
    top, left, bottom, right = node.pads
    border = 0 if isinstance(node, Conv) else int(np.iinfo(np.int64).min)
    padded = np.pad(codes, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=border)
    moved = np.roll(padded, way, axis=1 + axis)
    plain = replace(node, pads=(0, 0, 0, 0))
    if isinstance(plain, MaxPool):
        return as_positions(evaluate(plain, moved))
    kind = exact_type(plain, lo, hi)
    return sums_of(grouped_weights(plain), windows(plain, moved.astype(kind or np.int64)))
