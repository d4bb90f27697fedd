import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.lowering.intervals import accumulator_intervals, magnitude


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-7, 7), min_size=1, max_size=4),
    st.integers(-3, 3),
    st.integers(0, 3),
    st.booleans(),
)
def test_the_interval_is_exactly_what_brute_force_finds(
    row: list[int], lo: int, width: int, padded: bool
) -> None:
    codes = set(range(lo, lo + width + 1)) | ({0} if padded else set())
    sums = [
        sum(w * a for w, a in zip(row, inputs, strict=True))
        for inputs in itertools.product(sorted(codes), repeat=len(row))
    ]
    found = accumulator_intervals(np.array([row]), lo, lo + width, padded=padded)
    # Between the ends of the codes and 0 there may be a gap; the ends themselves are attained.
    assert (found.lo[0], found.hi[0]) == (min(sums), max(sums))


def test_every_channel_has_its_own_interval() -> None:
    found = accumulator_intervals(np.array([[1, -2], [3, 3]]), 0, 10, padded=False)
    assert (found.lo, found.hi) == ((-20, 0), (10, 60))
    assert found.bounds == (-20, 60)


def test_negated_channels_swap_and_turn_their_bounds() -> None:
    found = accumulator_intervals(np.array([[1, -2], [3, 3]]), 0, 10, padded=False)
    turned = found.negated(frozenset({0}))
    assert (turned.lo, turned.hi) == ((-10, 0), (20, 60))


def test_large_products_do_not_overflow() -> None:
    weights = np.full((1, 4), 2**40)
    found = accumulator_intervals(weights, -(2**40), 2**40, padded=False)
    assert found.hi == (4 * 2**80,)
    assert magnitude(weights, 0, 2**40) == [4 * 2**80]
