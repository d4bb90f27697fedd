"""Thresholds against sums: how far each sum is from the next code, and which sums were there.

For a sum s, `up` is how far the next threshold above is, `down` how far the last one reached is
below. A threshold that is one higher shows where s is that threshold, one that is one lower where s
is one less.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray

BoolArray = npt.NDArray[np.bool_]
Distances = npt.NDArray[np.integer]

# A threshold one higher, or one lower.
HIGHER, LOWER = 0, 1
# Farther than this is no distance that a fault by one step of a weight bridges.
FAR = 1 << 30
# Entries of a table of all sums that can occur; beyond it each sum is searched for.
MOST_ENTRIES = 1 << 22


class Levels:
    """Thresholds of the channels of one tensor of sums.

    Args:
        table: (channels, levels) ascending.
        lo, hi: ends of the sums, over all channels.

    Attributes:
        open: (2, channels, levels) faults that no sum has shown.
    """

    def __init__(self, table: IntArray, lo: int, hi: int) -> None:
        self.table, self.lo = table, lo
        self.open: BoolArray = np.ones((2, *table.shape), dtype=bool)
        self._span = hi - lo + 1
        self._up: npt.NDArray[np.int32] | None = None
        if self._span * len(table) <= MOST_ENTRIES:
            sums = np.arange(lo, hi + 1)
            far = [_distances(row, sums) for row in table]
            self._up, self._down = (
                np.concatenate([one[side] for one in far]).astype(np.int32) for side in (0, 1)
            )
            self._offsets = np.arange(len(table)) * self._span - lo

    def add(self, sums: IntArray, *, far: bool = True) -> tuple[Distances, Distances]:
        """Take in sums (positions, channels); `up` and `down` of each, at most `FAR`.

        Args:
            far: whether the distances are wanted; empty arrays otherwise.
        """
        if self._up is None:
            return self._searched(sums, far=far)
        index = sums + self._offsets
        hit = np.zeros(len(self._up), dtype=bool)
        hit[index] = True
        self._close(hit)
        if not far:
            return np.zeros(0, np.int32), np.zeros(0, np.int32)
        return self._up[index], self._down[index]

    def _close(self, hit: BoolArray) -> None:
        first = self._offsets[:, None]
        for side, shift in ((HIGHER, 0), (LOWER, -1)):
            place = self.table + shift - self.lo
            inside = (place >= 0) & (place < self._span)
            index = np.where(inside, self.table + shift + first, 0)
            self.open[side] &= ~(hit[index] & inside)

    def _searched(self, sums: IntArray, *, far: bool) -> tuple[Distances, Distances]:
        up = np.empty(sums.shape if far else (0,), dtype=np.int32)
        down = np.empty_like(up)
        for channel, row in enumerate(self.table):
            column = np.ascontiguousarray(sums[:, channel])
            if far:
                up[:, channel], down[:, channel] = _distances(row, column)
            for side, shift in ((HIGHER, 0), (LOWER, -1)):
                left = np.flatnonzero(self.open[side, channel])
                if left.size:
                    self.open[side, channel, left] = ~np.isin(row[left] + shift, column)
        return up, down


def _distances(row: IntArray, sums: IntArray) -> tuple[IntArray, IntArray]:
    if not row.size:
        return np.full(sums.shape, FAR), np.full(sums.shape, FAR)
    index = np.searchsorted(row, sums, side="right")
    up = np.where(index < len(row), row[np.minimum(index, len(row) - 1)] - sums, FAR)
    down = np.where(index > 0, sums - row[np.maximum(index - 1, 0)], FAR)
    return np.minimum(up, FAR), np.minimum(down, FAR)
