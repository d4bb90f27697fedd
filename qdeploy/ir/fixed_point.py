"""Fixed-point requantization that equals a threshold table on every integer of an interval.

    code(n) = clip(floor((M·n + B) / 2^S), base, base + levels),  M >= 0

The code is base + k or more exactly where M·n + B >= t_k, t_k = (base + k)·2^S. Table and formula
both rise with n, so they agree on all of [lo, hi] when they do on both sides of every threshold:

    T_k <= hi   (can be reached)   M·T_k + B       >= t_k        with T_k no lower than lo
    T_k >  lo   (can be missed)    M·(T_k - 1) + B <= t_k - 1    with T_k no higher than hi + 1

For one S and M that is an interval of B. Thresholds i and j leave it empty when

    M·(T_j - 1 - T_i) > t_j - 1 - t_i

which excludes every smaller M where the left factor is negative, and every larger one otherwise.
Starting at M = 0 and going to the bound so found ends at the least M there is, or at the proof that
there is none. Twice a solution is one for S + 1: the channels share the largest of their least S.

Rounding half to even moves ties, M·n + B = c·2^S without a rest, down for odd c. A table made of
such ties alternates and has no line; with the low bit of c cleared there (the rule `even`), code
c or more needs M·n + B >= c·2^S + (c odd), which is the same fit with other t_k. B holds the half.
The rule serves tables without it too: 2·(M·n + B) + 1 is odd, no multiple of 2^(S + 1).

Where M and B are loaded, S and the rule are those of the hardware: `Multiplier` is what it has,
`fit_to` finds the numbers of one network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.ir.integer_graph import IntArray, IntType

MAX_SHIFT = 48
# Where numbers are loaded: bits that a multiplier gets beyond those of the network that the
# hardware was made of. Slopes of others may be steeper by the first; the rest goes to the shift.
STEEPER, ROOM = 2, 6
# Keeps every product with a 32-bit accumulator within 63 bits.
MULTIPLIER_LIMIT = 1 << 30
_UNBOUNDED = 1 << 62


@dataclass(frozen=True)
class FixedPoint:
    """Per channel an integer multiplier and bias, one shift.

    Args:
        multiplier, bias: (channels,).
        even: exact multiples of 2^shift lose the low bit of their code.
        base, levels: codes are base … base + levels.
    """

    multiplier: IntArray
    bias: IntArray
    shift: int
    even: bool
    base: int
    levels: int

    @property
    def multiplier_bits(self) -> int:
        """Unsigned width of the multipliers, at least 1."""
        return max(1, int(self.multiplier.max()).bit_length())

    @property
    def bias_bits(self) -> int:
        """Signed width of the biases."""
        return IntType.holding(min(int(self.bias.min()), -1), int(self.bias.max())).bits

    @property
    def shared(self) -> bool:
        """Whether all channels have the same multiplier and bias."""
        first = (self.multiplier == self.multiplier[0]) & (self.bias == self.bias[0])
        return bool(first.all())

    def codes(self, n: IntArray) -> IntArray:
        """Codes of accumulators (channels, anything)."""
        value = self.multiplier[:, None] * n + self.bias[:, None]
        codes = value >> self.shift
        if self.even:
            codes -= codes & (codes << self.shift == value)
        return np.clip(codes, self.base, self.base + self.levels)


@dataclass(frozen=True)
class Multiplier:
    """Hardware that takes multipliers and biases at run time, with the rule `even`.

    Args:
        bits: of an unsigned multiplier.
        shift: right, of M·n + B.
    """

    bits: int
    shift: int

    @staticmethod
    def with_room(found: FixedPoint, free: int) -> Multiplier:
        """For the numbers of one network, and others' of the same shape.

        Args:
            free: bits of a multiplier that cost no more than fewer would.
        """
        plain = 0 if found.even else 1
        own, shift = found.multiplier_bits + plain, found.shift + plain
        most = MULTIPLIER_LIMIT.bit_length() - 1
        bits = max(own, min(most, free if own + ROOM <= free else own + ROOM))
        return Multiplier(bits, min(shift + max(0, bits - STEEPER - own), max(shift, MAX_SHIFT)))


def fit_to(
    hardware: Multiplier, table: IntArray, lo: IntArray, hi: IntArray, base: int
) -> FixedPoint | None:
    """As `fit_fixed_point`, for one shift, width and rule; None where the numbers are too wide."""
    table = np.clip(table, lo[:, None], hi[:, None] + 1)
    codes = base + np.arange(1, table.shape[1] + 1, dtype=np.int64)
    targets = (codes << hardware.shift) + (codes & 1)
    multiplier, bias, solved = _least(table, lo, hi, targets)
    if not solved.all() or int(multiplier.max()) >> hardware.bits:
        return None
    return FixedPoint(multiplier, bias, hardware.shift, True, base, table.shape[1])


def fit_fixed_point(table: IntArray, lo: IntArray, hi: IntArray, base: int) -> FixedPoint | None:
    """The fixed-point numbers of a table, proved for every n; None where there are none.

    Of the two roundings, the one with narrower multipliers.

    Args:
        table: thresholds (channels, levels), ascending along axis 1.
        lo, hi: (channels,) interval of n.
        base: code below all thresholds.
    """
    tried = [_fit(table, lo, hi, base, even=even) for even in (False, True)]
    return min(filter(None, tried), key=lambda fit: (fit.multiplier_bits, fit.even), default=None)


def _fit(
    table: IntArray, lo: IntArray, hi: IntArray, base: int, *, even: bool
) -> FixedPoint | None:
    table = np.clip(table, lo[:, None], hi[:, None] + 1)
    codes = base + np.arange(1, table.shape[1] + 1, dtype=np.int64)
    ties = codes & 1 if even else np.zeros_like(codes)
    waiting = np.arange(len(table))
    for shift in range(MAX_SHIFT + 1):
        targets = (codes << shift) + ties
        _, _, solved = _least(table[waiting], lo[waiting], hi[waiting], targets)
        waiting = waiting[~solved]
        if waiting.size == 0:
            multiplier, bias, solved = _least(table, lo, hi, targets)
            if not solved.all():  # a multiplier outgrew its limit
                return None
            return FixedPoint(multiplier, bias, shift, even, base, table.shape[1])
    return None


def _least(
    table: IntArray, lo: IntArray, hi: IntArray, targets: IntArray
) -> tuple[IntArray, IntArray, np.ndarray]:
    """Per channel the least M, the B of smallest magnitude for it, and whether there is one."""
    rows = np.arange(len(table))
    reached, missed = table <= hi[:, None], table > lo[:, None]
    multiplier = np.zeros(len(table), dtype=np.int64)
    bias = np.zeros(len(table), dtype=np.int64)
    solved = np.zeros(len(table), dtype=bool)
    waiting = np.ones(len(table), dtype=bool)
    while waiting.any():
        least = np.where(reached, targets - multiplier[:, None] * table, -_UNBOUNDED)
        most = np.where(missed, targets - 1 - multiplier[:, None] * (table - 1), _UNBOUNDED)
        i, j = least.argmax(axis=1), most.argmin(axis=1)
        low, high = least[rows, i], most[rows, j]
        now = waiting & (low <= high)
        bias[now] = np.clip(0, low, high)[now]
        solved |= now
        factor = table[rows, j] - 1 - table[rows, i]
        room = targets[j] - 1 - targets[i]
        waiting &= ~now & (factor < 0)
        # M >= room / factor, both negative where this M failed.
        bound = -(-room // np.where(factor < 0, factor, 1))
        multiplier[waiting] = bound[waiting]
        waiting &= multiplier < MULTIPLIER_LIMIT
    return multiplier, bias, solved
