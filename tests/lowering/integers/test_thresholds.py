from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.errors import PassError
from qdeploy.ir.intervals import Intervals
from qdeploy.ir.reference import count_thresholds
from qdeploy.lowering.integers.quantizer import Quantizer
from qdeploy.lowering.integers.thresholds import (
    code_bounds,
    threshold_table,
)

floats = st.floats(-4, 4, width=32).map(lambda v: Fraction(float(v)))
powers = st.integers(-6, 3).map(lambda e: Fraction(2) ** e)
gains = st.one_of(powers, floats.map(abs), st.just(Fraction(0)))
offsets = st.one_of(st.integers(-40, 40).map(lambda n: Fraction(n, 8)), floats)


@st.composite
def quantizers(draw: st.DrawFn) -> Quantizer:
    scale = draw(st.one_of(powers, floats.map(abs).filter(bool)))
    bits, signed = draw(st.integers(1, 8)), draw(st.booleans())
    if signed:
        bits = max(bits, 2)
        return Quantizer(scale, -(1 << bits - 1) + draw(st.integers(0, 1)), (1 << bits - 1) - 1)
    return Quantizer(scale, 0, (1 << bits) - 1)


def exact_code(gain: Fraction, offset: Fraction, quantizer: Quantizer, acc: int) -> int:
    """The definition: Fraction rounds half to even."""
    code = round((gain * acc + offset) / quantizer.scale)
    return min(max(code, quantizer.lo), quantizer.hi)


@settings(max_examples=300, deadline=None)
@given(gains, offsets, quantizers(), st.integers(-300, 100), st.integers(0, 300))
def test_thresholds_count_to_the_exact_code_for_every_accumulator(
    gain: Fraction, offset: Fraction, quantizer: Quantizer, lo: int, width: int
) -> None:
    interval = Intervals((lo,), (lo + width,))
    table = threshold_table([gain], [offset], quantizer, interval)
    acc = np.arange(lo, lo + width + 1)
    found = count_thresholds(acc[None, None], table, quantizer.lo)[0, 0]
    expected = [exact_code(gain, offset, quantizer, int(n)) for n in acc]
    assert found.tolist() == expected
    assert (table >= lo).all() and (table <= lo + width + 1).all()
    assert code_bounds(table, quantizer.lo, interval) == (min(expected), max(expected))


def test_a_tie_goes_up_to_an_even_code_and_down_from_an_odd_one() -> None:
    table = threshold_table(
        [Fraction(1, 2)], [Fraction(0)], Quantizer(Fraction(1), 0, 3), Intervals((-9,), (9,))
    )
    # n/2 = 0.5 stays 0, 1.5 rounds to 2, 2.5 stays 2.
    assert table.tolist() == [[2, 3, 6]]


def test_a_constant_channel_has_only_thresholds_that_always_or_never_hold() -> None:
    table = threshold_table(
        [Fraction(0)], [Fraction(5, 2)], Quantizer(Fraction(1), 0, 3), Intervals((-9,), (9,))
    )
    assert table.tolist() == [[-9, -9, 10]]


def test_a_negative_gain_is_a_broken_promise() -> None:
    with pytest.raises(PassError, match="negative gain"):
        threshold_table(
            [Fraction(-1)], [Fraction(0)], Quantizer(Fraction(1), 0, 3), Intervals((0,), (1,))
        )


def test_the_distance_to_a_tie_is_measured_in_codes() -> None:
    quantizer = Quantizer(Fraction(1, 4), 0, 3)
    assert quantizer.edge_distance(Fraction(1, 8)) == 0
    assert quantizer.edge_distance(Fraction(1, 4)) == Fraction(1, 2)
    assert quantizer.edge_distance(Fraction(10)) == Fraction(40) - Fraction(5, 2)
    assert quantizer.edge_distance(Fraction(-1)) == Fraction(9, 2)
