"""Which single faults of weights the frames of a rung have shown: exact for every weight.

A weight that is `change` higher turns a sum s into s + change·x. That is another code where
change·x >= up or -change·x > down (see `levels`); one that is lower shows where -change·x >= up or
change·x > down. For all weights of a row this is a matter of max(x - up) over the positions, which
one product of matrices decides: with B at least twice the number of positions, Σ B^(x - up) is 1 or
more where some x >= up, and at most 1/2 where there is none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray, IntType
from qdeploy.verify.units.levels import FAR, HIGHER, LOWER, Distances

BoolArray = npt.NDArray[np.bool_]

# Bits of a power that a float type holds, with room for the sum.
_BITS: dict[np.dtype[np.floating], int] = {
    np.dtype(np.float32): 120,
    np.dtype(np.float64): 1000,
}
# Bits of B: positions of one product are half of B at most.
_FEWEST_BITS, _MOST_BITS = 12, 20
# Positions that are compared one by one, where no type holds the powers.
_COMPARED = 512


class WeightFaults:
    """Faults of one layer's weights.

    Args:
        weights: (groups, rows, columns).
        change: of a faulty weight.
        lo, hi: range of the weights; a fault that leaves it is none.

    Attributes:
        faults: (2, groups, rows, columns) those that there are, `HIGHER` and `LOWER`.
        open: those not shown.
    """

    def __init__(self, weights: IntArray, change: int, lo: int, hi: int) -> None:
        self.change = change
        self.faults: BoolArray = np.stack([weights + change <= hi, weights - change >= lo])
        self.open = self.faults.copy()

    def observed(self, inputs: npt.NDArray[np.generic]) -> None:
        """Take in inputs (groups, positions, columns) of sums that are observed themselves."""
        self.open &= ~(inputs != 0).any(axis=1)[None, :, None, :]

    def coded(self, inputs: npt.NDArray[np.generic], up: Distances, down: Distances) -> None:
        """Take in inputs of sums that are observed behind thresholds.

        Args:
            inputs: (groups, positions, columns).
            up, down: (positions, groups·rows).
        """
        groups, rows = self.open.shape[1:3]
        left: BoolArray = np.ones(rows, dtype=bool)
        if groups == 1:
            left = np.asarray(self.open.any(axis=(0, 1, 3)))
        if not (left.any() and inputs.size):
            return
        shape = (len(up), groups, rows)
        near = [one.reshape(shape).transpose(1, 0, 2)[:, :, left] for one in (up, down)]
        most = self.change * int(np.abs(inputs).max())
        if most == 0:
            return
        kind = next((k for k, bits in _BITS.items() if bits // most > _FEWEST_BITS), None)
        if kind is None:
            self._compared(inputs, near[0], near[1], left)
            return
        bits = min(_BITS[kind] // most, _MOST_BITS)
        step = 1 << (bits - 1)
        for start in range(0, inputs.shape[1], step):
            part = slice(start, start + step)
            self._powers(
                inputs[:, part], near[0][:, part], near[1][:, part], left, most, kind, bits
            )

    def _powers(
        self,
        inputs: npt.NDArray[np.generic],
        up: Distances,
        down: Distances,
        left: BoolArray,
        most: int,
        kind: np.dtype[np.floating],
        bits: int,
    ) -> None:
        """See the module: 2^bits is B."""
        far = np.zeros(most + 2, dtype=kind)
        far[1 : most + 1] = np.ldexp(kind.type(1), -bits * np.arange(1, most + 1))
        reach = far[np.minimum(up, most + 1)], far[np.minimum(down + 1, most + 1)]
        index = inputs.astype(np.int16) * np.int16(self.change)
        for sign in (1, -1):
            own = np.zeros(most + 1, dtype=kind)
            own[1:] = np.ldexp(kind.type(1), bits * np.arange(1, most + 1))
            powers = own[np.maximum(sign * index, 0)]
            if not powers.any():
                continue
            sides = (HIGHER, LOWER) if sign > 0 else (LOWER, HIGHER)
            for side, distance in zip(sides, reach, strict=True):
                found = distance.transpose(0, 2, 1) @ powers
                self.open[side][:, left] &= found < 0.75

    def _compared(
        self, inputs: npt.NDArray[np.generic], up: Distances, down: Distances, left: BoolArray
    ) -> None:
        """Row by row, a few positions at a time."""
        rows = np.flatnonzero(left)
        steps = inputs.astype(np.int64) * self.change
        for group in range(len(inputs)):
            for place, row in enumerate(rows):
                over, under = (one[group, :, place].astype(np.int64) for one in (up, down))
                near = np.flatnonzero((over < FAR) | (under < FAR))
                for start in range(0, len(near), _COMPARED):
                    columns = np.flatnonzero(self.open[:, group, row].any(axis=0))
                    if not columns.size:
                        break
                    at = near[start : start + _COMPARED]
                    x = steps[group][np.ix_(at, columns)]
                    u, d = over[at, None], under[at, None]
                    higher, lower = (x >= u) | (-x > d), (-x >= u) | (x > d)
                    self.open[HIGHER, group, row, columns] &= ~higher.any(axis=0)
                    self.open[LOWER, group, row, columns] &= ~lower.any(axis=0)


def weight_change(weights: IntArray) -> int:
    """How far a faulty weight is off: one step of what the layer's weights can be.

    Weights that are all -1 or 1 are stored as one bit, so the other one is two away.
    """
    return 2 if weights.size and bool((np.abs(weights) == 1).all()) else 1


def weight_range(weights: IntArray) -> tuple[int, int]:
    """The smallest and the largest number that the width of a layer's weights holds."""
    if weight_change(weights) == 2:
        return -1, 1
    kind = IntType.holding(int(weights.min(initial=0)), int(weights.max(initial=0)))
    return kind.lo, kind.hi
