"""Exact accumulator intervals.

For a weight row w and inputs a_i in [lo, hi], the extremes of Σ w_i·a_i are reached term by term:

    max = hi·Σ max(w_i, 0) + lo·Σ min(w_i, 0)
    min = lo·Σ max(w_i, 0) + hi·Σ min(w_i, 0)

Zero padding puts the code 0 among the inputs, so a padded convolution widens [lo, hi] to hold 0.
Two branches of a residual sum are taken as independent, so their ends add; a sum over N pixels of a
channel has N times the channel's interval. The products are Python integers: nothing overflows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.lowering.integer_graph import IntArray


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

    def plus(self, other: Intervals) -> Intervals:
        """The intervals of the sum of two independent tensors."""
        return Intervals(
            tuple(a + b for a, b in zip(self.lo, other.lo, strict=True)),
            tuple(a + b for a, b in zip(self.hi, other.hi, strict=True)),
        )

    def times(self, count: int) -> Intervals:
        """The intervals of a sum over `count` elements of each channel."""
        return Intervals(tuple(v * count for v in self.lo), tuple(v * count for v in self.hi))


def accumulator_intervals(weights: IntArray, lo: int, hi: int, *, padded: bool) -> Intervals:
    """Interval of Σ w·a for every output channel.

    Args:
        weights: (out, ...): everything behind the first axis is summed over.
        lo, hi: interval of the input codes.
        padded: whether code 0 can stand in for an input.
    """
    if padded:
        lo, hi = min(lo, 0), max(hi, 0)
    rows = weights.reshape(weights.shape[0], -1).astype(np.int64)
    positive = [int(v) for v in np.clip(rows, 0, None).sum(axis=1)]
    negative = [int(v) for v in np.clip(rows, None, 0).sum(axis=1)]
    return Intervals(
        tuple(p * lo + n * hi for p, n in zip(positive, negative, strict=True)),
        tuple(p * hi + n * lo for p, n in zip(positive, negative, strict=True)),
    )


def magnitude(weights: IntArray, lo: int, hi: int) -> list[int]:
    """Per output channel a bound on |any partial sum| of Σ w·a: Σ |w| · max(|lo|, |hi|)."""
    rows = np.abs(weights.reshape(weights.shape[0], -1).astype(np.int64)).sum(axis=1)
    largest = max(abs(lo), abs(hi))
    return [int(v) * largest for v in rows]
