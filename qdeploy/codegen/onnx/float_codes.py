"""Ways for a floating-point machine to count thresholds without an error.

A table T ascends; code(n) = base + #{k : n >= T_k} for integers n in [lo, hi]. Four ways, the
fastest that is proved is taken; every proof covers all n, for each step of the computation is
monotone, so it is right everywhere when it is right on both sides of every threshold.

    fold     floor((M·n + B) / 2^S), integers M, B; everything below 2^24 is exact in float32, so
             M and B go into the weights of the preceding layer
    line     floor(m·n + b) in float64, checked with IEEE arithmetic as the machine does it
    parity   two lines, one for even and one for odd codes: ties to even move every other threshold
    compare  the definition: one comparison for each threshold

For both lines a slope m has to satisfy, for thresholds i < j,

    (j - i) / (T_j - T_i + 1) < m < (j - i) / (T_j - T_i - 1)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray
from qdeploy.ir.intervals import magnitude

FloatArray = npt.NDArray[np.float64]
EXACT_FLOAT32 = 1 << 24
MAX_SHIFT = 24
# Tables of 8 bits: what is tried for a fold or a line grows with the square of the levels.
FOLD_LEVELS = 255


@dataclass(frozen=True)
class Fold:
    """Per channel floor((multiplier·n + bias) / 2^shift), the base included."""

    multiplier: IntArray
    bias: IntArray
    shift: IntArray


@dataclass(frozen=True)
class Line:
    """Per channel floor(slope·n + bias) in float64, clipped to [0, levels]."""

    slope: FloatArray
    bias: FloatArray
    levels: int

    def count(self, n: IntArray) -> IntArray:
        """Number of thresholds reached, n of shape (channels, anything)."""
        value = n.astype(np.float64) * self.slope[:, None] + self.bias[:, None]
        return np.clip(np.floor(value), 0, self.levels).astype(np.int64)


def fit_fold(
    table: IntArray, lo: IntArray, hi: IntArray, partial_sums: IntArray, base: int
) -> Fold | None:
    """The fold of a table, None when no fold below 2^24 was found for some channel.

    Args:
        table: thresholds (channels, levels).
        lo, hi: interval of n per channel.
        partial_sums: per channel a bound on every partial sum of n.
        base: code below all thresholds.
    """
    channels, levels = table.shape
    if levels > FOLD_LEVELS:
        return None
    slope = _slopes(table, lo, hi)
    result = np.zeros((3, channels), dtype=np.int64)
    open_channels = np.ones(channels, dtype=bool)
    steps = base + np.arange(1, levels + 1, dtype=np.int64)
    for shift in range(MAX_SHIFT):
        for nudge in (0, 1, -1):
            multiplier = np.floor(slope * 2.0**shift).astype(np.int64) + nudge
            multiplier = np.clip(multiplier, 0, EXACT_FLOAT32)
            low, high = _bias_interval(table, lo, hi, multiplier, steps << shift)
            bias = (low + high) >> 1
            size = multiplier * partial_sums + np.abs(bias)
            good = open_channels & (low <= high) & (size < EXACT_FLOAT32)
            result[:, good] = np.stack([multiplier, bias, np.full(channels, shift)])[:, good]
            open_channels &= ~good
        if not open_channels.any():
            return Fold(*result)
    return None


def fit_line(table: IntArray, lo: IntArray, hi: IntArray) -> Line | None:
    """The line of a table in float64, None when there is none for some channel."""
    slope = _slopes(table, lo, hi)
    levels = table.shape[1]
    steps = np.arange(1, levels + 1, dtype=np.float64)
    lo, hi = lo[:, None], hi[:, None]
    reached = np.where(table <= hi, steps - slope[:, None] * table, -np.inf).max(axis=1)
    missed = np.where(table > lo, steps - slope[:, None] * (table - 1), np.inf).min(axis=1)
    reached = np.where(np.isinf(reached), missed - 1, reached)
    missed = np.where(np.isinf(missed), reached + 1, missed)
    line = Line(slope, (reached + missed) / 2, levels)
    return line if _proved(line, table, lo, hi) else None


def split_parity(table: IntArray) -> tuple[IntArray, IntArray]:
    """Every other threshold, and the rest."""
    return table[:, 0::2], table[:, 1::2]


def _proved(line: Line, table: IntArray, lo: IntArray, hi: IntArray) -> bool:
    steps = np.arange(1, table.shape[1] + 1)
    at = line.count(np.minimum(table, hi)) >= steps
    below = line.count(np.maximum(table - 1, lo)) < steps
    return bool((at | (table > hi)).all() and (below | (table <= lo)).all())


def _bias_interval(
    table: IntArray, lo: IntArray, hi: IntArray, multiplier: IntArray, targets: IntArray
) -> tuple[IntArray, IntArray]:
    """Per channel the biases B with M·T + B >= target and M·(T - 1) + B < target."""
    unbounded = np.int64(1) << 60
    lo, hi = lo[:, None], hi[:, None]
    need = np.where(table <= hi, targets - multiplier[:, None] * table, -unbounded)
    most = np.where(table > lo, targets - 1 - multiplier[:, None] * (table - 1), unbounded)
    low, high = need.max(axis=1), most.min(axis=1)
    low = np.where(low == -unbounded, high, low)
    high = np.where(high == unbounded, low, high)
    return low, high


def _slopes(table: IntArray, lo: IntArray, hi: IntArray) -> FloatArray:
    """Per channel the middle of the slopes that the thresholds allow, 0 for a constant."""
    slopes = np.zeros(len(table))
    for channel, row in enumerate(table):
        least, most = 0.0, np.inf
        steps = np.arange(len(row))
        gap_steps = (steps[None, :] - steps[:, None]).astype(np.float64)
        gap = (row[None, :] - row[:, None]).astype(np.float64)
        later = gap_steps > 0
        # A threshold that is reached, after one that can be missed, bounds the slope from below.
        rising = later & (row[None, :] <= hi[channel]) & (row[:, None] > lo[channel])
        if rising.any():
            least = float((gap_steps[rising] / (gap[rising] + 1)).max())
        # One that can be missed, after one that is reached, bounds it from above.
        falling = later & (row[None, :] > lo[channel]) & (row[:, None] <= hi[channel]) & (gap > 1)
        if falling.any():
            most = float((gap_steps[falling] / (gap[falling] - 1)).min())
        if least == 0.0 and np.isinf(most):
            slopes[channel] = 1.0 if ((row > lo[channel]) & (row <= hi[channel])).any() else 0.0
        else:
            slopes[channel] = 2 * least if np.isinf(most) else (least + most) / 2
    return slopes


def split_by_bits(weights: IntArray, lo: int, hi: int) -> list[tuple[int, IntArray]]:
    """(factor, part) with Σ factor·part = weights; partial sums of each part stay below 2^24.

    Empty where not even single bits of the weights stay below.
    """
    if max(abs(lo), abs(hi)) >= EXACT_FLOAT32:
        return []
    sign, size = np.sign(weights), np.abs(weights)
    bits = max(1, int(size.max()).bit_length())
    for keep in range(bits, 0, -1):
        mask = (1 << keep) - 1
        shifts = range(0, bits, keep)
        parts = [(1 << shift, sign * ((size >> shift) & mask)) for shift in shifts]
        if all(max(magnitude(part, lo, hi)) < EXACT_FLOAT32 for _, part in parts):
            return parts
    return []
