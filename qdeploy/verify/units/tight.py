"""Input vectors whose sums lie right at thresholds, and which single faults they show.

A code changes when its sum crosses a threshold, so an error by one in a weight or a threshold shows
only next to one. For a row of weights w, a threshold T and inputs x in [lo, hi]:

    w_j + 1   shows where Σ w·x = T - 1 and x_j > 0, or Σ w·x = T and x_j < 0
    w_j - 1   shows where Σ w·x = T and x_j > 0, or Σ w·x = T - 1 and x_j < 0
    T + 1     shows where Σ w·x = T
    T - 1     shows where Σ w·x = T - 1

A threshold that no sum can be next to is none that a frame could show. What is counted as seen is
seen; a fault that is not counted may be seen as well, by a larger step across a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray

BoolArray = npt.NDArray[np.bool_]
PASSES = 2
# Small units with wide weights reach a sum exactly from one start in ten or so.
STARTS = 64


@dataclass(frozen=True)
class Account:
    """Single faults by one of a unit: how many there are, how many its vectors show.

    Args:
        weights, thresholds: faults, two of each number.
        unreachable: of the thresholds', those next to which no sum can be.
        seen_weights, seen_thresholds: those that the vectors show for certain.
    """

    weights: int = 0
    seen_weights: int = 0
    thresholds: int = 0
    seen_thresholds: int = 0
    unreachable: int = 0


def solved(
    weights: IntArray,
    targets: IntArray,
    start: IntArray,
    lo: IntArray,
    hi: IntArray,
    random: np.random.Generator,
) -> IntArray:
    """Inputs with Σ w·x as close to the target as it gets: the greatest weights first, from the
    start, and from others where a rest remains.

    Args:
        weights, start, lo, hi: (vectors, columns); the bounds of each input.
        targets: (vectors,) wanted sums.
    """
    x = np.clip(start, lo, hi)
    ends = weights * lo, weights * hi
    least, largest = np.minimum(*ends).sum(axis=1), np.maximum(*ends).sum(axis=1)
    open_ = np.flatnonzero((targets >= least) & (targets <= largest))
    for turn in range(STARTS):
        if turn:
            x[open_] = random.integers(lo[open_], hi[open_] + 1)
        x[open_], missing = _nearer(weights[open_], targets[open_], x[open_], lo[open_], hi[open_])
        open_ = open_[missing != 0]
        if not len(open_):
            break
    return x


def _nearer(
    weights: IntArray, targets: IntArray, x: IntArray, lo: IntArray, hi: IntArray
) -> tuple[IntArray, IntArray]:
    """Inputs moved towards the targets, and what is missing of the sums."""
    rows, x = np.arange(len(x)), x.copy()
    missing = targets - (weights * x).sum(axis=1)
    order = np.argsort(-np.abs(weights), axis=1, kind="stable")
    for _ in range(PASSES):
        for column in order.T:
            weight, now = weights[rows, column], x[rows, column]
            # Never past the target: what goes past it would have to come back.
            size = np.abs(missing) // np.maximum(np.abs(weight), 1)
            wanted = now + np.sign(missing) * np.sign(weight) * size
            moved = np.clip(wanted, lo[rows, column], hi[rows, column]) - now
            x[rows, column] += moved
            missing = missing - weight * moved
        if not missing.any():
            break
    return x, missing


def seen_weights(x: IntArray, sums: IntArray, levels: IntArray) -> tuple[BoolArray, BoolArray]:
    """Faults +1 and -1 of weights (rows, columns) that vectors x (vectors, columns) show for
    certain; sums (vectors, rows), levels (rows, levels)."""
    below, at = next_to(sums, levels)
    positive, negative = (x > 0).astype(np.float32), (x < 0).astype(np.float32)
    up, down = below.T.astype(np.float32), at.T.astype(np.float32)
    more = up @ positive + down @ negative
    less = down @ positive + up @ negative
    return more > 0, less > 0


def next_to(sums: IntArray, levels: IntArray) -> tuple[BoolArray, BoolArray]:
    """Where sums (vectors, rows) are one below a level of their row, and where they equal one."""
    below, at = np.zeros(sums.shape, dtype=bool), np.zeros(sums.shape, dtype=bool)
    for row, table in enumerate(levels):
        below[:, row] = np.isin(sums[:, row] + 1, table)
        at[:, row] = np.isin(sums[:, row], table)
    return below, at


def seen_levels(sums: IntArray, levels: IntArray) -> tuple[int, int]:
    """How many faults of thresholds the sums (vectors, rows) show: T + 1 and T - 1."""
    later = earlier = 0
    for row, table in enumerate(levels):
        later += int(np.isin(table, sums[:, row]).sum())
        earlier += int(np.isin(table - 1, sums[:, row]).sum())
    return later, earlier


def unreachable_levels(levels: IntArray, sum_lo: IntArray, sum_hi: IntArray) -> int:
    """Faults of thresholds that no sum in [sum_lo, sum_hi] of its row shows."""
    lo, hi = sum_lo[:, None], sum_hi[:, None]
    later = (levels < lo) | (levels > hi)
    earlier = (levels - 1 < lo) | (levels - 1 > hi)
    return int(later.sum() + earlier.sum())
