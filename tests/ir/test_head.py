"""What the output's integers mean: values in float64, classes by exact comparison."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from qdeploy.ir.head import Head

FRACTIONS = st.fractions(min_value=-4, max_value=4, max_denominator=1 << 24)


def exact_class(head: Head, codes: list[int]) -> int:
    logits = [
        gain * n + offset for n, (gain, offset) in ((n, head.of(c)) for c, n in enumerate(codes))
    ]
    return logits.index(max(logits))


@given(
    st.lists(FRACTIONS, min_size=4, max_size=4),
    st.lists(FRACTIONS, min_size=4, max_size=4),
    st.lists(st.integers(-(1 << 20), 1 << 20), min_size=4, max_size=4),
)
@example(
    # Equal in float64, not as fractions: 2^60 and a part that double precision drops.
    [Fraction(1), Fraction(1), Fraction(1), Fraction(0)],
    [Fraction(0), Fraction(1, 1 << 60), Fraction(0), Fraction(0)],
    [1 << 20, 1 << 20, 1 << 20, 0],
)
def test_the_class_is_that_of_the_exact_logits(
    gain: list[Fraction], offset: list[Fraction], codes: list[int]
) -> None:
    head = Head(tuple(gain), tuple(offset))
    assert head.classes(np.array([codes]))[0] == exact_class(head, codes)


def test_one_positive_scale_needs_no_values() -> None:
    head = Head((Fraction(1, 3),))
    assert head.scale == Fraction(1, 3)
    assert head.classes(np.array([[1, 5, 5]])).tolist() == [1]
    assert Head((Fraction(-1, 3),)).classes(np.array([[1, 5, 5]])).tolist() == [0]


def test_maps_have_their_channels_on_the_axis_given() -> None:
    head = Head((Fraction(1), Fraction(2)), (Fraction(1, 2), Fraction(0)))
    codes = np.arange(2 * 2 * 3).reshape(1, 2, 2, 3)
    values = head.values(codes)
    assert values[0, 0, 0].tolist() == [0.5, 1.5, 2.5]
    assert values[0, 1, 0].tolist() == [12.0, 14.0, 16.0]
    last = np.moveaxis(codes, 1, -1)
    assert np.array_equal(head.values(last, axis=3), np.moveaxis(values, 1, -1))
    assert np.array_equal(head.classes(last, axis=3), head.classes(codes))
    assert head.classes(codes).shape == (1, 2, 3)


def test_offsets_that_differ_leave_no_single_scale() -> None:
    assert Head((Fraction(1),), (Fraction(0), Fraction(1, 2))).scale is None
    assert Head((Fraction(1), Fraction(2))).scale is None
