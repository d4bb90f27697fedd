"""Faults that no input can show, proved: from the sets of sums that inputs in their range give.

Each row of weights is taken alone, its inputs anywhere in their range, so what is proved holds for
every frame. What is not proved counts as a fault that a frame could show.
"""

from __future__ import annotations

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.units.levels import HIGHER, LOWER
from qdeploy.verify.units.row import BoolArray, Row

# Of all rows together, see `Sums.cost`: some seconds. Of rows beyond nothing is proved.
MOST_SPENT = 1 << 33


def too_long(rows: list[Row]) -> bool:
    """Whether as much has been worked through for these rows as there is time for."""
    return sum(row.spent for row in rows) > MOST_SPENT


def redundant_weights(rows: list[Row], open_: BoolArray, change: int) -> BoolArray:
    """Of the weight faults `open_` (2, rows, columns) those that no input shows."""
    found = np.zeros_like(open_)
    for number, row in enumerate(rows):
        if too_long(rows):
            break
        for side, sign in ((HIGHER, 1), (LOWER, -1)):
            columns = np.flatnonzero(open_[side, number])
            weights = np.unique(row.weights[columns])
            for weight in weights[~row.surely_shown(weights, sign * change)].tolist():
                # Columns of one weight are exchangeable.
                if _hidden(row, weight, sign * change):
                    alike = columns[row.weights[columns] == weight]
                    found[side, number, alike] = True
    return found


def _hidden(row: Row, weight: int, change: int) -> bool:
    if row.lo == row.hi == 0:
        return True
    try:
        return row.witness(weight, change) is None
    except OverflowError:
        return False


def redundant_levels(rows: list[Row], table: IntArray, open_: BoolArray) -> BoolArray:
    """Of the threshold faults `open_` (2, rows, levels) those next to which no input has a sum."""
    found = np.zeros_like(open_)
    for number, row in enumerate(rows):
        if too_long(rows) or not row.sums().known:
            continue
        for side, shift in ((HIGHER, 0), (LOWER, -1)):
            places = np.flatnonzero(open_[side, number])
            if places.size:
                reached = row.reached(table[number, places] + shift)
                found[side, number, places] = reached == 0
    return found


def outside(table: IntArray, open_: BoolArray, lo: IntArray, hi: IntArray) -> BoolArray:
    """Of the threshold faults those next to which no sum in [lo, hi] of its channel is."""
    found = np.zeros_like(open_)
    for side, shift in ((HIGHER, 0), (LOWER, -1)):
        place = table + shift
        found[side] = open_[side] & ((place < lo[:, None]) | (place > hi[:, None]))
    return found
