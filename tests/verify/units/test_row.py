"""One row of weights: which faults of it inputs show."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.verify.units.redundant import redundant_weights
from qdeploy.verify.units.row import Row


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(-6, 6), min_size=1, max_size=4),
    st.lists(st.integers(-40, 40), max_size=3),
    st.integers(-3, 0),
    st.integers(0, 3),
    st.sampled_from([-2, -1, 1, 2]),
)
def test_what_the_rule_tells_and_what_is_searched_are_the_faults_that_inputs_show(
    weights: list[int], levels: list[int], lo: int, hi: int, change: int
) -> None:
    row = np.array(weights, np.int64)
    table = np.sort(np.array(levels, np.int64))
    inputs = np.array(list(product(range(lo, hi + 1), repeat=len(weights))), np.int64)
    codes = (inputs @ row)[:, None] >= table
    shown = []
    for column in range(len(row)):
        other = row.copy()
        other[column] += change
        shown.append(bool((((inputs @ other)[:, None] >= table) != codes).any()))
    told = Row(row, table, lo, hi).surely_shown(row, change)
    assert not (told & ~np.array(shown)).any()
    open_ = np.ones((2, 1, len(row)), bool)
    hidden = redundant_weights([Row(row, table, lo, hi)], open_, change)
    assert hidden[0, 0].tolist() == [not one for one in shown]


@pytest.mark.parametrize(("lo", "hi"), [(0, 255), (-128, 127)])
def test_the_rule_tells_all_faults_of_wide_rows_of_many_levels(lo: int, hi: int) -> None:
    """Searched one by one, those of a layer of 512 such rows took minutes."""
    random = np.random.default_rng(3)
    weights = random.integers(-127, 128, 4608)
    row = Row(weights, np.sort(random.integers(-200_000, 200_000, 255)), lo, hi)
    kinds = np.unique(weights)
    assert row.surely_shown(kinds, 1).all()
    assert row.surely_shown(kinds, -1).all()
