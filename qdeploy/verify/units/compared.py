"""Accounts of single faults of units that do not multiply: thresholds, biases, windows."""

from __future__ import annotations

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.units.accounts import (
    BIASES,
    CHANNELS,
    THRESHOLDS,
    WINDOWS,
    FaultAccount,
    FaultCount,
)
from qdeploy.verify.units.contracts import Contract
from qdeploy.verify.units.levels import Levels
from qdeploy.verify.units.redundant import outside
from qdeploy.verify.units.shapes import WindowShape

# Axis of a map (frames, rows, columns, channels), and which way.
_SHIFTS = ((1, 1), (1, -1), (2, 1), (2, -1))


def levels_account(table: IntArray, lo: IntArray, hi: IntArray, sums: IntArray) -> FaultAccount:
    """Thresholds, and the thresholds of two channels exchanged.

    Args:
        table: (channels, levels) ascending.
        lo, hi: (channels,) ends of the sums.
        sums: (vectors, channels).
    """
    levels = Levels(table, int(lo.min()), int(hi.max()))
    levels.add(sums, far=False)
    hidden = outside(table, levels.open, lo, hi)
    left = int(levels.open.sum())
    differ, alike = (np.zeros((len(table), len(table)), dtype=bool) for _ in range(2))
    for channel in range(len(table)):
        # Codes of a channel's sums under another table are the same where as many of them reach
        # each threshold.
        reached = np.searchsorted(np.sort(sums[:, channel]), table)
        differ[channel] = (reached != reached[channel]).any(axis=1)
        within = np.clip(table, lo[channel], hi[channel] + 1)
        alike[channel] = (within == within[channel]).all(axis=1)
    pairs = np.triu(np.ones(differ.shape, dtype=bool), k=1)
    seen = (differ | differ.T) & pairs
    return FaultAccount(
        {
            THRESHOLDS: FaultCount(levels.open.size, levels.open.size - left, int(hidden.sum())),
            CHANNELS: FaultCount(
                int(pairs.sum()), int(seen.sum()), int((alike & alike.T & pairs).sum())
            ),
        }
    )


def bias_account(bias: IntArray) -> FaultAccount:
    """Biases (channels,) of sums that come out: every vector shows a wrong one, and two exchanged
    ones unless they are equal."""
    pairs = len(bias) * (len(bias) - 1) // 2
    equal = sum(n * (n - 1) // 2 for n in np.unique(bias, return_counts=True)[1].tolist())
    return FaultAccount(
        {
            BIASES: FaultCount(2 * len(bias), 2 * len(bias)),
            CHANNELS: FaultCount(pairs, pairs - equal, equal),
        }
    )


def window_account(
    shape: WindowShape, rule: Contract, frames: IntArray, given: IntArray, *, complete: bool
) -> FaultAccount:
    """A window that reads its map one pixel off, in one of four directions, and at the edge the
    other end of it.

    Args:
        frames, given: (frames, elements) what the window takes and gives.
        complete: whether the frames tell every position from every other: a shift that they do not
            show takes every element from where it was.
    """
    maps = frames.reshape(len(frames), shape.rows, shape.columns, shape.channels)
    shifts = [(axis, way) for axis, way in _SHIFTS if maps.shape[axis] > 1]
    seen = sum(
        not np.array_equal(rule.apply([np.roll(maps, way, axis).reshape(frames.shape)])[0], given)
        for axis, way in shifts
    )
    total = len(shifts)
    return FaultAccount({WINDOWS: FaultCount(total, seen, total - seen if complete else 0)})
