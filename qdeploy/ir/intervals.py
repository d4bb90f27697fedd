"""Exact accumulator intervals.

For a weight row w and inputs a_i in [lo, hi], the extremes of Σ w_i·a_i are reached term by term:

    max = hi·Σ max(w_i, 0) + lo·Σ min(w_i, 0)
    min = lo·Σ max(w_i, 0) + hi·Σ min(w_i, 0)

Zero padding puts the code 0 in the place of some inputs. Which kernel positions meet the padding
depends on the window, by row and by column: the interval is the union over all windows of a map,
each with its own positions inside. So it is attained by a frame, however small or dilated the map
and its kernel are.

Two branches of a residual sum are taken as independent, so their ends add; a sum over N pixels of a
channel has N times the channel's interval. The products are Python integers: nothing overflows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np

from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import Conv, Dense, IntArray, Tensor


@dataclass(frozen=True)
class Intervals:
    """Per channel, the smallest and the largest integer that can occur."""

    lo: tuple[int, ...]
    hi: tuple[int, ...]

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest integer over all channels."""
        return min(self.lo), max(self.hi)

    def negated(self, channels: frozenset[int]) -> Intervals:
        """The intervals after the sign of some channels changed."""
        pairs = [
            (-hi, -lo) if c in channels else (lo, hi)
            for c, (lo, hi) in enumerate(zip(self.lo, self.hi, strict=True))
        ]
        return Intervals(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))

    def union(self, other: Intervals) -> Intervals:
        """The smallest intervals that hold both."""
        return Intervals(
            tuple(min(pair) for pair in zip(self.lo, other.lo, strict=True)),
            tuple(max(pair) for pair in zip(self.hi, other.hi, strict=True)),
        )

    def plus(self, other: Intervals) -> Intervals:
        """The intervals of the sum of two independent tensors."""
        return Intervals(
            tuple(a + b for a, b in zip(self.lo, other.lo, strict=True)),
            tuple(a + b for a, b in zip(self.hi, other.hi, strict=True)),
        )

    @staticmethod
    def joined(parts: Iterable[Intervals]) -> Intervals:
        """The intervals of several tensors' channels, one tensor after the other."""
        found = list(parts)
        return Intervals(
            tuple(end for one in found for end in one.lo),
            tuple(end for one in found for end in one.hi),
        )

    def times(self, count: int) -> Intervals:
        """The intervals of a sum over `count` elements of each channel."""
        return Intervals(tuple(v * count for v in self.lo), tuple(v * count for v in self.hi))


def accumulator_intervals(weights: IntArray, lo: int, hi: int) -> Intervals:
    """Interval of Σ w·a for every output channel, each input anywhere in [lo, hi].

    Args:
        weights: (out, ...): everything after the first axis is summed over.
        lo, hi: interval of the input codes.
    """
    return _extremes(*_halves(weights.reshape(len(weights), -1)), lo, hi)


def convolution_intervals(
    weights: IntArray,
    lo: int,
    hi: int,
    sizes: tuple[int, ...],
    stride: tuple[int, ...] = (1, 1),
    pads: tuple[int, ...] = (0, 0, 0, 0),
    dilation: tuple[int, ...] = (1, 1),
) -> Intervals:
    """Interval of a convolution's sums for every output channel, over all of its windows.

    Args:
        weights: (out, in / groups, kh, kw).
        lo, hi: interval of the input codes; padding is code 0 whether inside or not.
        sizes: height and width of the map, unpadded.
        pads: (top, left, bottom, right).
    """
    taps = [
        set(
            taps_inside(
                sizes[axis],
                weights.shape[2 + axis],
                stride[axis],
                (pads[axis], pads[axis + 2]),
                dilation[axis],
            )
        )
        for axis in range(2)
    ]
    positive, negative = (half.sum(axis=1) for half in _halves(weights))
    result: Intervals | None = None
    for rows, columns in product(*taps):
        inside, shape = np.ix_(range(len(weights)), rows, columns), (len(weights), -1)
        up, down = positive[inside].reshape(shape), negative[inside].reshape(shape)
        found = _extremes(up, down, lo, hi)
        result = found if result is None else result.union(found)
    if result is None:
        raise PassError("a convolution without windows has no interval")
    return result


def taps_inside(
    size: int, taps: int, stride: int, pads: tuple[int, int], dilation: int
) -> list[tuple[int, ...]]:
    """Along one axis, for each window the kernel positions that lie inside the map."""
    windows = (size + sum(pads) - dilation * (taps - 1) - 1) // stride + 1
    return [
        tuple(t for t in range(taps) if 0 <= w * stride - pads[0] + t * dilation < size)
        for w in range(windows)
    ]


def node_intervals(node: Conv | Dense, source: Tensor) -> Intervals:
    """Interval of each output channel of a node that reads `source`."""
    if isinstance(node, Dense):
        return accumulator_intervals(node.weights, source.lo, source.hi)
    return convolution_intervals(
        node.weights,
        source.lo,
        source.hi,
        source.shape[1:],
        node.stride,
        node.pads,
        node.dilation,
    )


def magnitude(weights: IntArray, lo: int, hi: int) -> list[int]:
    """Per output channel a bound on |any partial sum| of Σ w·a: Σ |w| · max(|lo|, |hi|)."""
    rows = np.abs(weights.reshape(weights.shape[0], -1).astype(np.int64)).sum(axis=1)
    largest = max(abs(lo), abs(hi))
    return [int(v) * largest for v in rows]


def _halves(weights: IntArray) -> tuple[IntArray, IntArray]:
    """The positive and the negative weights, zeros for the others."""
    wide = weights.astype(np.int64)
    return np.clip(wide, 0, None), np.clip(wide, None, 0)


def _extremes(positive: IntArray, negative: IntArray, lo: int, hi: int) -> Intervals:
    up = [int(v) for v in positive.sum(axis=1)]
    down = [int(v) for v in negative.sum(axis=1)]
    return Intervals(
        tuple(p * lo + n * hi for p, n in zip(up, down, strict=True)),
        tuple(p * hi + n * lo for p, n in zip(up, down, strict=True)),
    )
