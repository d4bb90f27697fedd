"""Directed vectors: the account of single faults equals enumeration of every fault and input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.units import redundant
from qdeploy.verify.units.accounts import CHANNELS, THRESHOLDS, WEIGHTS, FaultCount
from qdeploy.verify.units.vectors import DirectedVectors, directed_kernels, directed_vectors
from qdeploy.verify.units.weights import weight_change, weight_range

Numbers = tuple[IntArray, IntArray | None]
KINDS = (WEIGHTS, THRESHOLDS, CHANNELS)


@dataclass(frozen=True)
class Unit:
    """A small unit: rows, thresholds, range of an input, masks."""

    matrix: IntArray
    levels: IntArray | None
    lo: int
    hi: int
    masks: IntArray

    @property
    def numbers(self) -> Numbers:
        return self.matrix, self.levels

    def box(self) -> IntArray:
        """Every input that there is."""
        size = self.matrix.shape[1]
        full = np.array(list(product(range(self.lo, self.hi + 1), repeat=size)), dtype=np.int64)
        return np.unique(np.concatenate([full * mask for mask in self.masks]), axis=0)

    def row(self, number: int) -> Unit:
        one = slice(number, number + 1)
        levels = None if self.levels is None else self.levels[one]
        return Unit(self.matrix[one], levels, self.lo, self.hi, self.masks)

    def made(
        self, make: Callable[..., DirectedVectors] = directed_vectors, most: int = 1000
    ) -> DirectedVectors:
        return make(self.matrix, self.lo, self.hi, self.levels, self.masks, most)


def _codes(numbers: Numbers, inputs: IntArray) -> IntArray:
    """By the definition: one comparison for each threshold."""
    matrix, levels = numbers
    sums = inputs @ matrix.T
    return sums if levels is None else (sums[:, :, None] >= levels[None]).sum(axis=2)


def _count(faults: list[Numbers], right: Numbers, found: IntArray, box: IntArray) -> FaultCount:
    seen = hidden = 0
    for broken in faults:
        if (_codes(broken, found) != _codes(right, found)).any():
            seen += 1
        elif (_codes(broken, box) == _codes(right, box)).all():
            hidden += 1
    return FaultCount(len(faults), seen, hidden)


def _changed(array: IntArray, index: tuple[int, ...], change: int) -> IntArray:
    other = array.copy()
    other[index] += change
    return other


def _enumerated(unit: Unit, found: IntArray, whole: IntArray | None = None) -> list[FaultCount]:
    """Counts of `KINDS`; `whole` is the matrix that says what a weight fault is."""
    matrix, levels = unit.numbers
    kinds = matrix if whole is None else whole
    (least, most), step = weight_range(kinds), weight_change(kinds)
    weights: list[Numbers] = [
        (_changed(matrix, at, change), levels)
        for at in np.ndindex(*matrix.shape)
        for change in (step, -step)
        if least <= matrix[at] + change <= most
    ]
    thresholds: list[Numbers] = []
    if levels is not None:
        thresholds = [
            (matrix, _changed(levels, at, change))
            for at in np.ndindex(*levels.shape)
            for change in (1, -1)
        ]
    swaps: list[Numbers] = []
    for pair in combinations(range(len(matrix)), 2):
        order = np.arange(len(matrix))
        order[list(pair)] = pair[::-1]
        swaps.append((matrix[order], None if levels is None else levels[order]))
    box = unit.box()
    return [_count(faults, unit.numbers, found, box) for faults in (weights, thresholds, swaps)]


@st.composite
def _units(draw: st.DrawFn) -> Unit:
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    lo = draw(st.integers(-3, 1))
    hi = lo + draw(st.integers(0, 3 if columns < 4 else 2))
    choices = draw(st.sampled_from([(-1, 0, 1), (-1, 1), (-2, 0, 2), (-6, -3, 0, 3, 6), (0, 2, 3)]))
    weights = draw(
        st.lists(st.sampled_from(choices), min_size=rows * columns, max_size=rows * columns)
    )
    matrix = np.array(weights, dtype=np.int64).reshape(rows, columns)
    if draw(st.booleans()):
        matrix[0] = matrix[-1]
    elif 0 in choices and draw(st.booleans()):
        matrix[draw(st.integers(0, rows - 1))] = 0
    count = draw(st.sampled_from([1, 1, 1, 2, 3]))
    flat = draw(st.lists(st.integers(0, 1), min_size=count * columns, max_size=count * columns))
    masks = np.array(flat, dtype=np.int64).reshape(count, columns)
    if count == 1:
        masks[:] = 1
    levels = draw(st.integers(0, 5))
    if levels == 0:
        return Unit(matrix, None, lo, hi, masks)
    reach = 1 + int(np.abs(matrix).sum(axis=1).max()) * max(abs(lo), abs(hi))
    size = rows * levels
    table = draw(st.lists(st.integers(-reach - 1, reach + 2), min_size=size, max_size=size))
    ordered = np.sort(np.array(table, dtype=np.int64).reshape(rows, levels), axis=1)
    if draw(st.booleans()):
        ordered[0] = ordered[-1]
    return Unit(matrix, ordered, lo, hi, masks)


@settings(max_examples=300, deadline=None)
@given(_units())
def test_the_account_is_what_enumeration_of_all_faults_and_inputs_gives(unit: Unit) -> None:
    found = unit.made()
    box = {tuple(row) for row in unit.box().tolist()}
    assert {tuple(row) for row in found.inputs.tolist()} <= box
    counts = [found.account[kind] for kind in KINDS]
    assert counts == _enumerated(unit, found.inputs)
    assert [count.left for count in counts] == [0, 0, 0]
    assert found.missing == 0


@settings(max_examples=100, deadline=None)
@given(_units(), st.integers(0, 12))
def test_with_few_vectors_nothing_is_called_seen_that_they_do_not_show(
    unit: Unit, most: int
) -> None:
    found = unit.made(most=most)
    assert len(found.inputs) <= most
    counts = [found.account[kind] for kind in KINDS]
    for count, exact in zip(counts, _enumerated(unit, found.inputs), strict=True):
        assert (count.total, count.seen) == (exact.total, exact.seen)
        assert count.redundant <= exact.redundant
    if any(count.left for count in counts):
        assert found.missing > 0


@settings(max_examples=60, deadline=None)
@given(_units())
def test_kernels_with_inputs_of_their_own_are_accounted_as_enumeration_does(unit: Unit) -> None:
    found = unit.made(directed_kernels)
    assert found.inputs.shape[1:] == unit.matrix.shape
    parts = [
        _enumerated(unit.row(row), found.inputs[:, row], unit.matrix)
        for row in range(len(unit.matrix))
    ]
    for index, kind in enumerate((WEIGHTS, THRESHOLDS)):
        assert found.account[kind] == sum((part[index] for part in parts), FaultCount())
    seen = alike = 0
    for i, j in combinations(range(len(unit.matrix)), 2):
        here = [_codes(unit.numbers, found.inputs[:, row]) for row in (i, j)]
        if any((codes[:, i] != codes[:, j]).any() for codes in here):
            seen += 1
        else:
            everywhere = _codes(unit.numbers, unit.box())
            alike += bool((everywhere[:, i] == everywhere[:, j]).all())
    total = len(unit.matrix) * (len(unit.matrix) - 1) // 2
    assert found.account[CHANNELS] == FaultCount(total, seen, alike)


def _free(matrix: IntArray, levels: IntArray | None, lo: int, hi: int) -> Unit:
    return Unit(matrix, levels, lo, hi, np.ones((1, matrix.shape[1]), dtype=np.int64))


@pytest.mark.parametrize(
    ("weights", "codes", "count", "fewest"),
    [((-1, 1), (0, 3), 3, 300), ((-1, 1), (0, 1), 1, 400), ((-2, 1), (-4, 3), 7, 1000)],
)
def test_every_fault_of_a_wide_unit_shows_within_some_hundred_vectors(
    weights: tuple[int, int], codes: tuple[int, int], count: int, fewest: int
) -> None:
    random = np.random.default_rng(3)
    matrix = random.integers(weights[0], weights[1] + 1, (64, 576))
    matrix[5] = 0
    sums = random.integers(codes[0], codes[1] + 1, (500, 576)) @ matrix.T
    levels = np.quantile(sums, np.linspace(0.1, 0.9, count), axis=0).astype(np.int64).T
    found = _free(matrix, np.sort(levels, axis=1), *codes).made(most=fewest)
    account = found.account
    assert [account[kind].left for kind in KINDS] == [0, 0, 0]
    assert account[WEIGHTS].share == account[THRESHOLDS].share == 1.0
    # Of the threshold faults of the unused row only those next to its one sum, 0, can show.
    assert account[THRESHOLDS].redundant <= 2 * count
    for row, table in enumerate(levels):
        if row != 5:
            assert np.isin(table, found.inputs @ matrix[row]).all()
            assert np.isin(table - 1, found.inputs @ matrix[row]).all()


def test_the_same_unit_gets_the_same_vectors() -> None:
    random = np.random.default_rng(4)
    matrix = random.integers(-7, 8, (8, 40))
    levels = np.sort(random.integers(-300, 300, (8, 15)), axis=1)
    one, other = (_free(matrix, levels, 0, 15).made(most=200) for _ in range(2))
    assert np.array_equal(one.inputs, other.inputs)


def test_sums_that_take_long_to_tell_are_left_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of 5 and 7 follow no rule: each is worked out, while there is time."""
    random = np.random.default_rng(6)
    matrix = random.choice([-7, -5, 5, 7], (4, 12))
    levels = np.sort(random.integers(-60, 60, (4, 3)), axis=1)
    unit = _free(matrix, levels, 0, 1)
    whole = unit.made()
    assert [whole.account[kind].left for kind in KINDS] == [0, 0, 0]
    assert whole.account[WEIGHTS].redundant > 0
    monkeypatch.setattr(redundant, "MOST_SPENT", -1)
    short = unit.made()
    assert short.account[WEIGHTS].redundant == 0
    assert short.account[WEIGHTS].left > 0
