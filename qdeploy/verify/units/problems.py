"""Inputs for which a row has a wanted sum, with signs that are useful where there is a choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.units.row import Row
from qdeploy.verify.units.sums import Sums, solve_full


@dataclass(frozen=True)
class Problem:
    """One vector to make.

    Args:
        row, total: the row, and its sum.
        sign: (columns,) the sign that an input should have, 0 where any will do.
        column, value: an input that is given, None for none. The sum has to exist with it.
    """

    row: int
    total: int
    sign: IntArray = field(repr=False)
    column: int | None = None
    value: int = 0


class Maker:
    """Makes the vectors of one matrix, whose inputs are in [lo, hi] with lo < hi.

    Args:
        rows: with weights of 0 where the mask has one.
        mask: (columns,) 0 where an input is 0 in every vector.
    """

    def __init__(
        self, rows: Sequence[Row], lo: int, hi: int, mask: IntArray, random: np.random.Generator
    ) -> None:
        self._rows, self._lo, self._hi = rows, lo, hi
        self._mask, self._random = mask, random

    def solve(self, problems: Sequence[Problem]) -> IntArray:
        """One vector for each problem, (problems, columns)."""
        weights = np.stack([self._rows[p.row].weights for p in problems])
        values, totals = np.abs(weights), np.zeros(len(problems), dtype=np.int64)
        given = np.zeros(weights.shape, dtype=bool)
        for index, problem in enumerate(problems):
            row = self._rows[problem.row]
            totals[index] = problem.total - row.least
            if problem.column is not None:
                given[index, problem.column] = True
                weight = int(row.weights[problem.column])
                least = min(weight * self._lo, weight * self._hi)
                totals[index] += least - weight * problem.value
        values[given] = 0
        wanted = self._wanted(problems, weights, values, totals)
        # Ties between equal weights are broken anew for each problem: the last few columns take up
        # what the others leave, and should not always be the same.
        ties = self._random.permuted(np.tile(np.arange(values.shape[1]), (len(values), 1)), axis=1)
        order = np.argsort(-values * values.shape[1] + ties, axis=1)
        y = np.empty_like(wanted)
        full = np.array([self._sums(p).full for p in problems])
        sorted_values = np.take_along_axis(values, order, axis=1)[full]
        sorted_wanted = np.take_along_axis(wanted, order, axis=1)[full]
        n, part = self._hi - self._lo, np.array(wanted[full])
        solved = solve_full(sorted_values, n, totals[full], sorted_wanted)
        np.put_along_axis(part, order[full], solved, axis=1)
        y[full] = part
        for place in np.flatnonzero(~full).tolist():
            y[place] = self._one(problems[place], values[place], int(totals[place]), wanted[place])
        x = np.where(weights < 0, self._hi - y, self._lo + y)
        for index, problem in enumerate(problems):
            if problem.column is not None:
                x[index, problem.column] = problem.value
        return x * self._mask

    def _sums(self, problem: Problem) -> Sums:
        row = self._rows[problem.row]
        return row.sums(0 if problem.column is None else int(row.magnitudes[problem.column]))

    def _one(self, problem: Problem, values: IntArray, total: int, wanted: IntArray) -> IntArray:
        y = wanted.copy()
        used = np.flatnonzero(values)
        used = used[np.argsort(values[used], kind="stable")]
        y[used] = self._sums(problem).solve(total, wanted[used].tolist())
        return y

    def _wanted(
        self, problems: Sequence[Problem], weights: IntArray, values: IntArray, totals: IntArray
    ) -> IntArray:
        """Random y around the share of the range that the sum needs, of the useful sign."""
        n = self._hi - self._lo
        share = totals / np.maximum(n * values.sum(axis=1), 1)
        spread = 2 * np.minimum(share, 1 - share)[:, None]
        noise = self._random.random(values.shape)
        y = np.floor(
            n * (share[:, None] + (noise - 0.5) * spread) + self._random.random(values.shape)
        )
        y = np.clip(y, 0, n).astype(np.int64)
        free = values == 0
        y[free] = self._random.integers(0, n + 1, int(free.sum()))
        x = np.where(weights < 0, self._hi - y, self._lo + y)
        sign = np.stack([p.sign for p in problems])
        useful = np.clip(sign * np.maximum(np.abs(x), 1), self._lo, self._hi)
        x = np.where(sign * useful > 0, useful, x)
        return np.where(weights < 0, self._hi - x, x - self._lo)
