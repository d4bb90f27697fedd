"""Exact integer thresholds of a quantizer after an affine map of an accumulator.

The quantizer gives code(n) = clip(round_half_even(v / s), lo, hi) with v = g·n + b, g > 0. For
lo < k <= hi, with A = g/s = p/q and B = b/s = r/t as exact fractions (p, q, t > 0):

    code >= k  <=>  round_half_even(A·n + B) >= k
               <=>  A·n + B >= k - 1/2     k even: the tie k - 1/2 rounds up to k
                    A·n + B >  k - 1/2     k odd: the tie rounds down to k - 1

    with x = (k - 1/2 - B) / A = q·((2k - 1)·t - 2r) / (2·t·p):
    T_k = ceil(x) for even k,  floor(x) + 1 for odd k

A ReLU before it only raises lo to 0, since round(0) = 0 and rounding is monotone. g = 0 makes the
channel constant. For g < 0 the caller negates the channel's weights first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import IntArray
from qdeploy.ir.intervals import Intervals


@dataclass(frozen=True)
class Quantizer:
    """Codes lo..hi of a uniform quantizer: value = scale · code."""

    scale: Fraction
    lo: int
    hi: int


def threshold_table(
    gain: Sequence[Fraction], offset: Sequence[Fraction], quantizer: Quantizer, acc: Intervals
) -> IntArray:
    """Thresholds (channels, hi - lo) for codes lo + 1 .. hi, clipped into [acc.lo, acc.hi + 1].

    Raises:
        PassError: a gain is negative, or the table does not ascend.
    """
    rows = [
        _channel(g / quantizer.scale, b / quantizer.scale, quantizer, lo, hi)
        for g, b, lo, hi in zip(gain, offset, acc.lo, acc.hi, strict=True)
    ]
    table = np.array(rows, dtype=np.int64).reshape(len(rows), quantizer.hi - quantizer.lo)
    if (np.diff(table, axis=1) < 0).any():
        raise PassError("thresholds do not ascend", where="qdeploy.lowering.integers.thresholds")
    return table


def code_bounds(table: IntArray, base: int, acc: Intervals) -> tuple[int, int]:
    """The smallest and the largest code that can occur."""
    lo = np.array(acc.lo, dtype=np.int64)[:, None]
    hi = np.array(acc.hi, dtype=np.int64)[:, None]
    return base + int((lo >= table).sum(1).min()), base + int((hi >= table).sum(1).max())


def tie_distance(value: Fraction, quantizer: Quantizer) -> Fraction:
    """Distance of value / scale to the nearest place where the code changes, in units of code."""
    steps = value / quantizer.scale
    k = round(steps + Fraction(1, 2))
    nearest = [min(max(c, quantizer.lo + 1), quantizer.hi) for c in (k - 1, k, k + 1)]
    return min(abs(steps - (c - Fraction(1, 2))) for c in nearest)


def _channel(a: Fraction, b: Fraction, quantizer: Quantizer, lo: int, hi: int) -> list[int]:
    if a < 0:
        raise PassError("a negative gain reached the thresholds", why="negate the weights first")
    levels = range(quantizer.lo + 1, quantizer.hi + 1)
    if a == 0:
        code = round(b)
        return [lo if code >= k else hi + 1 for k in levels]
    p, q, r, t = a.numerator, a.denominator, b.numerator, b.denominator
    divisor = 2 * t * p
    row = []
    for k in levels:
        dividend = q * ((2 * k - 1) * t - 2 * r)
        exact = -(-dividend // divisor) if k % 2 == 0 else dividend // divisor + 1
        row.append(min(max(exact, lo), hi + 1))
    return row
