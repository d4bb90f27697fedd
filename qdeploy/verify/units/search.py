"""The search for vectors that show the single faults of one matrix unit, and its account.

Inputs are chosen so that every row comes to sit just below and just on every threshold, with
inputs other than 0 at as many positions as possible: then a weight or a threshold that is off by
one gives another code. One vector gives every row a sum, so most serve many rows. What is not shown
after that is either proved impossible to show, from the set of the sums that exist, or a vector is
made for it, while vectors are left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.units.accounts import CHANNELS, THRESHOLDS, WEIGHTS, FaultAccount, FaultCount
from qdeploy.verify.units.levels import HIGHER, LOWER
from qdeploy.verify.units.pairs import one_function
from qdeploy.verify.units.problems import Maker, Problem
from qdeploy.verify.units.redundant import redundant_levels, redundant_weights, too_long
from qdeploy.verify.units.row import Row, Witness
from qdeploy.verify.units.seen import Seen, sums_of
from qdeploy.verify.units.weights import BoolArray, WeightFaults

# Vectors without a purpose: they find what is no single fault, such as a wrong address. The first
# few are made in any case, the others while there is room.
_FIRST_RANDOM, _RANDOM = 2, 8
# Problems solved together, and the part of the vectors that is kept back for weights.
_BATCH, _FOR_WEIGHTS = 64, 0.25
_UNMET = np.iinfo(np.int64).min
# Pairs of rows of one code for all vectors that are looked at.
MOST_PAIRS = 10_000


@dataclass(frozen=True)
class Faulty:
    """What a weight fault is.

    Args:
        change: how far a faulty weight is off.
        lo, hi: what a weight can be; a fault that leaves this range is none.
    """

    change: int
    lo: int
    hi: int


class View:
    """The rows for the windows of one mask: inputs that are padding are 0.

    Args:
        mask: (columns,) of 0 and 1.
    """

    def __init__(
        self,
        matrix: IntArray,
        levels: IntArray,
        lo: int,
        hi: int,
        mask: IntArray,
        random: np.random.Generator,
    ) -> None:
        self.mask = mask
        self.live: BoolArray = mask != 0
        self.rows = [Row(w, t, lo, hi) for w, t in zip(matrix * mask, levels, strict=True)]
        self.maker = Maker(self.rows, lo, hi, mask, random)


class Search:
    """Vectors so far, and what is still to be shown.

    Args:
        matrix: (rows, columns).
        lo, hi: range of every input that is no padding.
        levels: (rows, n) ascending; None where the sums are put out.
        masks: (masks, columns); a vector is under one of them.
        faulty: which faults of weights there are.
        most: vectors at most.

    Attributes:
        missing: vectors that were wanted, and for which there was no room.
    """

    def __init__(
        self,
        matrix: IntArray,
        lo: int,
        hi: int,
        levels: IntArray | None,
        masks: IntArray,
        faulty: Faulty,
        most: int,
    ) -> None:
        self.matrix, self.lo, self.hi, self.levels, self.most = matrix, lo, hi, levels, most
        self.table = np.zeros((len(matrix), 0), np.int64) if levels is None else levels
        self.random = np.random.default_rng(0)
        self.views = [View(matrix, self.table, lo, hi, mask, self.random) for mask in masks]
        rows = [row for view in self.views for row in view.rows]
        self.seen = Seen(
            matrix,
            levels,
            WeightFaults(matrix[None], faulty.change, faulty.lo, faulty.hi),
            min((row.least for row in rows), default=0),
            max((row.most for row in rows), default=0),
        )
        self.change = faulty.change
        self.made: list[IntArray] = []
        self.missing = 0

    def run(self) -> None:
        """Make all vectors."""
        self.take(self._first())
        if self.levels is not None and self.hi > self.lo:
            for view in self.views:
                self.thresholds(view, int(self.most * _FOR_WEIGHTS))
                self.weights(view)
            self.missing += sum(self.thresholds(view, 0) for view in self.views)
        self.take(self._further())

    def inputs(self) -> IntArray:
        """All vectors, (vectors, columns)."""
        return np.concatenate([np.zeros((0, self.matrix.shape[1]), np.int64), *self.made])

    @property
    def left(self) -> int:
        """Vectors that may still be made."""
        return self.most - sum(len(part) for part in self.made)

    def take(self, inputs: IntArray) -> None:
        """Add vectors, while there is room."""
        kept = inputs[: max(self.left, 0)]
        self.missing += len(inputs) - len(kept)
        self.made.append(kept)
        self.seen.add(kept)

    def _first(self) -> IntArray:
        """Extremes of the inputs and of the widest sums, and two without a purpose."""
        columns = self.matrix.shape[1]
        made = [view.mask * end for view in self.views for end in (self.hi, self.lo)]
        if self.hi > self.lo:
            for view in self.views[:1]:
                high = max(view.rows, key=lambda row: row.most)
                low = min(view.rows, key=lambda row: row.least)
                made.append(np.where(high.weights > 0, self.hi, self.lo) * view.mask)
                made.append(np.where(low.weights > 0, self.lo, self.hi) * view.mask)
            shape = (_FIRST_RANDOM, columns)
            made += list(self._masked(self.random.integers(self.lo, self.hi + 1, shape)))
        return np.unique(np.array(made, dtype=np.int64), axis=0)[::-1]

    def _further(self) -> IntArray:
        """Vectors that tell positions apart, the extremes of every row, and some at random."""
        if self.hi == self.lo:
            return self.inputs()[:0]
        columns = self.matrix.shape[1]
        made = list(self._patterns(columns))
        made += list(self.random.integers(self.lo, self.hi + 1, (_RANDOM, columns)))
        ends = np.where(self.matrix > 0, self.hi, self.lo)
        made += list(np.unique(np.concatenate([ends, self.hi + self.lo - ends]), axis=0))
        return self._masked(np.array(made, dtype=np.int64))

    def _patterns(self, columns: int) -> Iterator[IntArray]:
        """The bits of the positions: any two positions differ in one of these."""
        for bit in range(max(columns - 1, 0).bit_length()):
            yield np.where(np.arange(columns) >> bit & 1, self.hi, self.lo)

    def _masked(self, inputs: IntArray) -> IntArray:
        """Vectors under one mask after the other."""
        masks = np.stack([view.mask for view in self.views])
        return inputs * masks[np.arange(len(inputs)) % len(masks)]

    def thresholds(self, view: View, room: int) -> int:
        """Every row just below and just on each of its thresholds; `room` vectors are left. How
        many of these sums there was no room for."""
        targets, rising = self._targets(view)
        _meet(targets, sums_of(self.matrix, self.inputs()))
        each = max(1, _BATCH // max(len(view.rows), 1))
        while self.left > room:
            problems = []
            for number in np.flatnonzero((targets != _UNMET).any(axis=1)):
                for k in np.flatnonzero(targets[number] != _UNMET)[:each]:
                    total, up = int(targets[number, k]), bool(rising[number, k])
                    problems.append(self._problem(int(number), total, 1 if up else -1))
            if not problems:
                return 0
            inputs = view.maker.solve(problems)
            sums, kept = sums_of(self.matrix, inputs), []
            for index, problem in enumerate(problems):
                if (targets[problem.row] == problem.total).any():
                    _meet(targets, sums[index : index + 1])
                    kept.append(index)
            self.take(inputs[kept][: self.left - room])
        return int((targets != _UNMET).sum())

    def _targets(self, view: View) -> tuple[IntArray, BoolArray]:
        """(rows, n) sums that every row should come to, and whether a higher one is another code.
        After the first view only those that show something not shown yet."""
        pairs = []
        for number, row in enumerate(view.rows):
            low, high = row.targets()
            if view is not self.views[0]:
                open_ = self.seen.open_levels[:, number]
                low = low[np.isin(low, self.table[number, open_[LOWER]] - 1)]
                high = high[np.isin(high, self.table[number, open_[HIGHER]])]
            pairs.append((low, high))
        width = max((len(low) + len(high) for low, high in pairs), default=0)
        targets = np.full((len(pairs), width), _UNMET)
        rising = np.zeros(targets.shape, dtype=bool)
        for number, (low, high) in enumerate(pairs):
            order = self.random.permutation(len(low) + len(high))
            targets[number, : len(order)] = np.concatenate([low, high])[order]
            rising[number, : len(order)] = order < len(low)
        return targets, rising

    def _problem(
        self, row: int, total: int, sign: int, column: int | None = None, value: int = 0
    ) -> Problem:
        """Inputs of the sign that shows open faults of the row, at a sum that shows them."""
        higher, lower = self.seen.open[HIGHER, row], self.seen.open[LOWER, row]
        wanted = np.where(higher, sign, np.where(lower, -sign, 0))
        both = higher & lower & (self.random.integers(0, 2, len(wanted)) > 0)
        return Problem(row, total, np.where(both, -wanted, wanted), column, value)

    def weights(self, view: View) -> None:
        """A vector for every weight fault that has not shown, and that one can show."""
        known: dict[tuple[int, int, int], Witness | None] = {}
        waiting = set(np.flatnonzero(self.seen.open.any(axis=(0, 2))).tolist())
        while waiting:
            problems: list[Problem] = []
            for row in sorted(waiting):
                problem = self._next(view, row, known)
                if problem is None:
                    waiting.discard(row)
                elif len(problems) < self.left:
                    problems.append(problem)
            if not problems:
                self.missing += len(waiting)
                return
            for start in range(0, len(problems), _BATCH):
                self.take(view.maker.solve(problems[start : start + _BATCH]))

    def _next(
        self, view: View, row: int, known: dict[tuple[int, int, int], Witness | None]
    ) -> Problem | None:
        """The next vector to make for a row, None where none shows more."""
        for kind, change in ((HIGHER, self.change), (LOWER, -self.change)):
            columns = np.flatnonzero(self.seen.open[kind, row] & view.live)
            # Columns of one weight are exchangeable.
            for weight in np.unique(self.matrix[row, columns]).tolist():
                key = (row, weight, change)
                if key not in known:
                    if too_long(view.rows):
                        return None
                    try:
                        known[key] = view.rows[row].witness(weight, change)
                    except OverflowError:
                        known[key] = None
                witness = known[key]
                if witness is not None:
                    sign = 1 if witness.value * change > 0 else -1
                    column = int(columns[self.matrix[row, columns] == weight][0])
                    return self._problem(row, witness.total, sign, column, witness.value)
        return None

    def account(self) -> FaultAccount:
        """What became of every single fault; may add vectors that tell rows apart."""
        swaps = self._swaps()
        open_, open_levels = self.seen.open, self.seen.open_levels
        hidden, unmet = open_.copy(), open_levels.copy()
        for view in self.views:
            live = open_ & view.live
            if self.levels is None:
                # Sums are seen: only an input that is always 0 hides its weight.
                hidden &= ~live | (self.lo == self.hi == 0)
            else:
                hidden &= ~live | redundant_weights(view.rows, live, self.change)
                unmet &= redundant_levels(view.rows, self.table, open_levels)
        weights, thresholds = int(self.seen.faults.sum()), open_levels.size
        return FaultAccount(
            {
                WEIGHTS: FaultCount(weights, weights - int(open_.sum()), int(hidden.sum())),
                THRESHOLDS: FaultCount(
                    thresholds, thresholds - int(open_levels.sum()), int(unmet.sum())
                ),
                CHANNELS: swaps,
            }
        )

    def _swaps(self) -> FaultCount:
        groups, redundant = self.seen.groups, 0
        for i, j in groups.pairs()[:MOST_PAIRS]:
            # A vector for an earlier pair may have told these apart.
            if groups.groups[i] == groups.groups[j]:
                redundant += self._alike(i, j)
        total, left = len(self.matrix) * (len(self.matrix) - 1) // 2, len(groups.pairs())
        return FaultCount(total, total - left, redundant)

    def _alike(self, i: int, j: int) -> bool:
        """Whether two rows are one function; if not, a vector that tells them apart is added."""
        pair = [i, j]
        table = None if self.levels is None else self.levels[pair]
        for view in self.views:
            found = one_function(self.matrix[pair] * view.mask, table, self.lo, self.hi)
            if found is None:
                return False
            if found.apart is not None:
                self.take((found.apart * view.mask)[None])
                return False
        return True


def _meet(targets: IntArray, sums: IntArray) -> None:
    """Take out of the targets (rows, n) the sums (vectors, rows) that are met."""
    for one in sums:
        targets[targets == one[:, None]] = _UNMET
