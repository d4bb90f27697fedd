"""One row of a matrix unit: the sums near its thresholds, and inputs that show a fault of it.

With y = x - lo for a positive weight and y = hi - x for a negative one, the row's sum is its least
sum plus Σ |w|·y, y in [0, hi - lo]: a problem of `qdeploy.verify.units.sums`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.units.sums import NONE, Sums

BoolArray = npt.NDArray[np.bool_]
# Values of an input that are tried together for one fault.
_TOGETHER = 16


@dataclass(frozen=True)
class Witness:
    """An input value and a sum of the row for which a fault shows: there are inputs with both."""

    value: int
    total: int


class Row:
    """One row.

    Args:
        weights: (columns,).
        levels: (n,) ascending.
        lo, hi: range of every input.

    Attributes:
        spent: bits worked through to tell its sums, see `Sums.cost`.
    """

    def __init__(self, weights: IntArray, levels: IntArray, lo: int, hi: int) -> None:
        self.weights, self.lo, self.hi = weights, lo, hi
        self.magnitudes = np.abs(weights)
        self.table, self.levels = levels, np.unique(levels)
        self.least = int(np.where(weights > 0, weights * lo, weights * hi).sum())
        self._sums: dict[int, Sums] = {}
        self.spent = 0

    @property
    def most(self) -> int:
        """The largest sum."""
        return self.least + (self.hi - self.lo) * int(self.magnitudes.sum())

    def sums(self, without: int = 0) -> Sums:
        """Sums of Σ |w|·y over all columns, less one with |w| = `without`."""
        if without not in self._sums:
            values = self.magnitudes[self.magnitudes > 0].tolist()
            if without:
                values.remove(without)
            found = self._sums[without] = Sums(values, self.hi - self.lo)
            self.spent += found.cost if found.known else 0
        return self._sums[without]

    def constant(self) -> bool:
        """Whether every input gives the same code."""
        return not bool(((self.levels > self.least) & (self.levels <= self.most)).any())

    def targets(self) -> tuple[IntArray, IntArray]:
        """For every threshold the nearest sums below it, and those from it on, where there are."""
        if not self.sums().known:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        below = self.sums().below(self.levels - 1 - self.least)
        above = self.sums().above(self.levels - self.least)
        return (
            np.unique(below[below != NONE]) + self.least,
            np.unique(above[above != NONE]) + self.least,
        )

    def reached(self, totals: IntArray) -> IntArray:
        """1 for each sum that some input gives, 0 for one that none gives."""
        found = self.sums().below(totals - self.least)
        return (found == totals - self.least).astype(np.int64) * (totals >= self.least)

    def witness(self, weight: int, change: int) -> Witness | None:
        """How a fault of a column with this weight shows; None when no input shows it.

        Args:
            change: of the weight, not 0.

        Raises:
            OverflowError: the sums are too many to tell.
        """
        others = self.sums(abs(weight))
        if not others.known:
            raise OverflowError("too many sums")
        base = self.least - min(weight * self.lo, weight * self.hi)
        reach = abs(change) * max(abs(self.lo), abs(self.hi))
        levels = self.levels[
            (self.levels > self.least - reach) & (self.levels <= self.most + reach)
        ]
        values = np.array([v for v in range(self.lo, self.hi + 1) if v], dtype=np.int64)
        values = values[np.argsort(-np.abs(values), kind="stable")]
        if not levels.size:
            return None
        for start in range(0, len(values), _TOGETHER):
            found = self._among(
                values[start : start + _TOGETHER], weight, change, levels, others, base
            )
            if found is not None:
                return found
        return None

    def surely_shown(self, weights: IntArray, change: int) -> BoolArray:
        """Of faults of columns with these weights some that inputs show: a rule tells them at once.

        The rule: another column has a weight of ±1, and no weight is so large that it leaves a gap,
        so the others give every sum from 0 on (`qdeploy.verify.units.sums`). What it does not tell
        is `witness`'s to find; of wide rows of many levels that is next to nothing.

        Args:
            weights: (n,) weights of the row.
            change: of the weight, not 0.

        Returns:
            (n,)
        """
        n, values = self.hi - self.lo, np.sort(self.magnitudes[self.magnitudes > 0])
        if not n or not values.size:
            return np.zeros(len(weights), dtype=bool)
        before = n * (np.cumsum(values) - values)
        # How far the sums of the values before one reach beyond it; without m as far as n·m less.
        room = np.append(1 + before - values, np.iinfo(np.int64).max)
        least = np.minimum.accumulate(room)
        later = np.minimum.accumulate(room[::-1])[::-1]
        size = np.abs(weights)
        place = np.searchsorted(values, size)
        ones = int(np.searchsorted(values, 1, side="right"))
        full = ones > (size == 1)
        full &= (place == 0) | (least[place - 1] >= 0)
        full &= np.where(
            size > 0, later[np.minimum(place + 1, len(values))] >= n * size, later[0] >= 0
        )
        total = n * (int(values.sum()) - size)
        value = self.hi if abs(self.hi) >= abs(self.lo) else self.lo
        base = self.least - np.minimum(weights * self.lo, weights * self.hi)
        low = self.levels[None, :] - (base + weights * value)[:, None]
        step = abs(value * change)
        if value * change > 0:
            low = low - step
        inside = (np.maximum(low, 0) <= np.minimum(low + step - 1, total[:, None])).any(axis=1)
        told: BoolArray = full & inside
        return told

    def _among(
        self,
        values: IntArray,
        weight: int,
        change: int,
        levels: IntArray,
        others: Sums,
        base: int,
    ) -> Witness | None:
        v, t = values[:, None], levels[None, :] - base - weight * values[:, None]
        # Rising sums cross a threshold from the sums right below it, falling ones from those above.
        rising, step = v * change > 0, np.abs(v * change)
        low = np.where(rising, t - step, t)
        high = np.where(rising, t - 1, t + step - 1)
        near = np.where(rising, others.below(high), others.above(low))
        good = (near != NONE) & (near >= low) & (near <= high)
        if not good.any():
            return None
        # In the middle of the range there is the most freedom for the other columns.
        distance = np.where(good, np.abs(2 * near - others.total), np.iinfo(np.int64).max)
        i, j = np.unravel_index(int(distance.argmin()), distance.shape)
        value = int(values[i])
        return Witness(value, int(near[i, j]) + base + weight * value)
