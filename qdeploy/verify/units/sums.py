"""Which sums Σ a·y with y in [0, n] there are, exactly, and inputs that give a sum.

The a are positive integers in ascending order, g their greatest common divisor. If each a_i is at
most g + n·Σ_{j<i} a_j, every multiple of g from 0 to n·Σa is a sum (induction: the sums of the
first i - 1 are all multiples of g up to their largest, and n + 1 copies of that interval at
distance a_i leave no gap). Otherwise a bit for each sum says whether it can be reached: the bits
of the first i are those of the first i - 1 shifted by 0, a_i, … n·a_i and joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from math import gcd

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray

# Sums that are told one by one, and bits of all prefixes' sums together: a tenth of a second.
_MOST_SUMS, _MOST_BITS = 1 << 22, 1 << 28
NONE = -1


class Sums:
    """The sums of one multiset.

    Args:
        values: positive integers in any order.
        n: each is taken 0 to n times.
    """

    def __init__(self, values: Sequence[int], n: int) -> None:
        self.values = tuple(sorted(int(value) for value in values)) if n else ()
        self.n = n
        self.step = gcd(*self.values) if self.values else 1
        self.total = n * sum(self.values)
        self.full = _is_full(self.values, n, self.step)

    @property
    def cost(self) -> int:
        """Bits that are worked through to tell the sums one by one; 0 where a rule tells them."""
        return 0 if self.full else len(self.values) * (self.total // self.step)

    @property
    def known(self) -> bool:
        """Whether the sums can be told in time and memory."""
        return self.full or (self.cost <= _MOST_BITS and self.total // self.step <= _MOST_SUMS)

    def below(self, bounds: IntArray) -> IntArray:
        """For each bound the largest sum that is not above it, `NONE` without one."""
        bounds = np.minimum(bounds, self.total)
        if self.full:
            return np.where(bounds < 0, NONE, bounds // self.step * self.step)
        found = self._nearest[0][np.maximum(bounds // self.step, 0)]
        return np.where((bounds < 0) | (found < 0), NONE, found * self.step)

    def above(self, bounds: IntArray) -> IntArray:
        """For each bound the smallest sum that is not below it, `NONE` without one."""
        bounds = np.maximum(bounds, 0)
        if self.full:
            found = -(-bounds // self.step) * self.step
            return np.where(found > self.total, NONE, found)
        index = -(-bounds // self.step)
        inside = index < len(self._nearest[1])
        found = self._nearest[1][np.where(inside, index, 0)]
        return np.where(inside & (found >= 0), found * self.step, NONE)

    def solve(self, total: int, wanted: Sequence[int]) -> list[int]:
        """y in ascending order of the values with Σ a·y = total.

        Args:
            total: a sum that can be reached.
            wanted: y to stay close to, in the same order.
        """
        left = total
        result = [0] * len(self.values)
        for index in reversed(range(len(self.values))):
            value = self.values[index]
            near = _outward(int(wanted[index]), self.n)
            result[index] = next(k for k in near if self._has(index, left - k * value))
            left -= result[index] * value
        assert left == 0
        return result

    def _has(self, count: int, total: int) -> bool:
        """Whether the first `count` values reach `total`."""
        if total < 0:
            return False
        if self.full:
            return total <= self.n * sum(self.values[:count])
        return bool(self._prefixes[count] >> (total // self.step) & 1)

    @cached_property
    def _prefixes(self) -> list[int]:
        bits, prefixes = 1, [1]
        for value in self.values:
            bits = _spread(bits, value // self.step, self.n)
            prefixes.append(bits)
        return prefixes

    @cached_property
    def _nearest(self) -> tuple[IntArray, IntArray]:
        """For each multiple of the step the nearest sum not above, and not below, in steps."""
        bits, size = 1, self.total // self.step + 1
        for value in self.values:
            bits = _spread(bits, value // self.step, self.n)
        raw = np.frombuffer(bits.to_bytes(-(-size // 8), "little"), np.uint8)
        there: npt.NDArray[np.bool_] = np.unpackbits(raw, bitorder="little")[:size].astype(bool)
        index = np.arange(size, dtype=np.int64)
        low = np.maximum.accumulate(np.where(there, index, NONE))
        high = np.minimum.accumulate(np.where(there, index, size)[::-1])[::-1]
        return low, np.where(high == size, NONE, high)


def _outward(middle: int, n: int) -> Iterator[int]:
    """0 to n, the nearest to `middle` first."""
    yield middle
    for distance in range(1, n + 1):
        if middle >= distance:
            yield middle - distance
        if middle + distance <= n:
            yield middle + distance


def _is_full(values: Sequence[int], n: int, step: int) -> bool:
    reached = 0
    for value in values:
        if value > step + reached:
            return False
        reached += n * value
    return True


def _spread(bits: int, shift: int, n: int) -> int:
    """`bits` joined with itself shifted by 1 to n times `shift`: by doubling."""
    done = 0
    while done < n:
        more = min(done + 1, n - done)
        bits |= bits << (shift * more)
        done += more
    return bits


def solve_full(values: IntArray, n: int, totals: IntArray, wanted: IntArray) -> IntArray:
    """Many problems at once, each over values whose sums are `full`.

    Args:
        values: (problems, columns) in descending order along axis 1, 0 for a free column.
        totals: (problems,) each a sum that its values reach.
        wanted: (problems, columns) y in [0, n] to stay close to.

    Returns:
        y (problems, columns) with Σ values·y = totals.
    """
    a, y = np.ascontiguousarray(values.T), np.ascontiguousarray(wanted.T)
    # What the columns after each can still add.
    rest = n * (a.sum(axis=0) - a.cumsum(axis=0))
    divisor = np.maximum(a, 1)
    left = totals.astype(np.int64)
    last = int(np.flatnonzero(a.any(axis=1)).max(initial=-1))
    for column in range(last + 1):
        d = divisor[column]
        least = -((rest[column] - left) // d)
        most = left // d
        chosen = np.minimum(np.maximum(y[column], least), np.minimum(most, n))
        free = a[column] == 0
        chosen = np.where(free, y[column], np.maximum(chosen, 0))
        left = left - a[column] * chosen
        y[column] = chosen
    assert not left.any()
    return np.ascontiguousarray(y.T)
