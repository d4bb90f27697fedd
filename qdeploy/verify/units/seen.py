"""What a growing set of input vectors shows of a matrix unit's single faults, exactly."""

from __future__ import annotations

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.ir.reference import count_thresholds
from qdeploy.verify.units.channels import ChannelGroups
from qdeploy.verify.units.levels import Levels
from qdeploy.verify.units.weights import BoolArray, WeightFaults

_EXACT_FLOAT = 1 << 53


def sums_of(matrix: IntArray, inputs: IntArray) -> IntArray:
    """Σ w·x, (vectors, rows), of inputs (vectors, columns)."""
    most = int(np.abs(inputs).max(initial=0))
    bound = int(np.abs(matrix).sum(axis=1).max(initial=0)) * most
    if bound < _EXACT_FLOAT:
        # Every partial sum is an integer below 2^53, exact in whatever order BLAS adds.
        return np.rint(inputs.astype(np.float64) @ matrix.T.astype(np.float64)).astype(np.int64)
    return inputs @ matrix.T


class Seen:
    """Faults of one unit's weights and thresholds, and rows exchanged, that vectors have shown.

    Args:
        matrix: (rows, columns).
        levels: (rows, n) ascending; None where the sums themselves are seen.
        weights: the faults of the matrix as one group.
        sum_lo, sum_hi: ends of the sums that vectors can have.

    Attributes:
        groups: rows that gave the same codes for all vectors.
    """

    def __init__(
        self,
        matrix: IntArray,
        levels: IntArray | None,
        weights: WeightFaults,
        sum_lo: int,
        sum_hi: int,
    ) -> None:
        self._matrix, self._weights = matrix, weights
        self._levels = None if levels is None else Levels(levels, sum_lo, sum_hi)
        self.groups = ChannelGroups(len(matrix))

    @property
    def open(self) -> BoolArray:
        """(2, rows, columns) weight faults not shown, `HIGHER` and `LOWER`."""
        return self._weights.open[:, 0]

    @property
    def faults(self) -> BoolArray:
        """(2, rows, columns) weight faults that there are."""
        return self._weights.faults[:, 0]

    @property
    def open_levels(self) -> BoolArray:
        """(2, rows, n) threshold faults not shown."""
        if self._levels is None:
            return np.zeros((2, len(self._matrix), 0), dtype=bool)
        return self._levels.open

    def add(self, inputs: IntArray) -> None:
        """Take in further vectors (vectors, columns)."""
        if not len(inputs):
            return
        sums = sums_of(self._matrix, inputs)
        if self._levels is None:
            self._weights.observed(inputs[None])
            self.groups.add(sums)
            return
        wanted = bool(self.open.any())
        up, down = self._levels.add(sums, far=wanted)
        if wanted:
            self._weights.coded(inputs[None], up, down)
        self.groups.add(count_thresholds(sums, self._levels.table, 0))
