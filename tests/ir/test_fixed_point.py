"""Fixed-point numbers against the table they were made from, on every integer of the interval."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.ir.fixed_point import (
    MULTIPLIER_LIMIT,
    FixedPoint,
    Multiplier,
    fit_fixed_point,
    fit_to,
)
from qdeploy.ir.integer_graph import IntArray, IntType
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.integers.quantizer import Quantizer
from qdeploy.lowering.integers.thresholds import threshold_table

gains = st.fractions(0, 4, max_denominator=1 << 16)
offsets = st.fractions(-300, 300, max_denominator=1 << 12)
powers = st.integers(-7, 1).map(lambda power: Fraction(2) ** power)


def counted(table: IntArray, n: IntArray, base: int) -> IntArray:
    """Codes (channels, n) by the definition."""
    return base + (n[None, :, None] >= table[:, None, :]).sum(2)


def fitted(rows: list[IntArray], lo: int, hi: int, base: int) -> FixedPoint | None:
    """The fit of a table, compared with it everywhere."""
    table = np.concatenate(rows)
    ends = np.full(len(table), lo), np.full(len(table), hi)
    found = fit_fixed_point(table, *ends, base)
    if found is not None:
        n = np.arange(lo, hi + 1)
        expected = counted(table, n, base)
        assert (found.codes(np.tile(n, (len(table), 1))) == expected).all()
        for free in (17, 24):
            hardware = Multiplier.with_room(found, free)
            loaded = fit_to(hardware, table, *ends, base)
            if loaded is None:
                assert found.multiplier_bits >= MULTIPLIER_LIMIT.bit_length() - 2
                continue
            assert (loaded.codes(np.tile(n, (len(table), 1))) == expected).all()
            assert loaded.multiplier_bits <= hardware.bits and loaded.shift == hardware.shift
            # As wide as the hardware makes a bias.
            sum_bits = IntType.holding(min(lo, -1), hi).bits
            code_bits = IntType.holding(base, base + table.shape[1]).bits
            most = max(code_bits + hardware.shift + 1, hardware.bits + sum_bits) + 2
            assert loaded.bias_bits <= most
    return found


def row(gain: Fraction, offset: Fraction, quantizer: Quantizer, lo: int, hi: int) -> IntArray:
    return threshold_table([gain], [offset], quantizer, Intervals((lo,), (hi,)))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(gains, offsets), min_size=1, max_size=3),
    st.integers(1, 255),
    st.integers(-128, 3),
    st.integers(-900, 100),
    st.integers(0, 1000),
)
def test_any_gain_and_offset_get_every_code(
    channels: list[tuple[Fraction, Fraction]], levels: int, base: int, lo: int, width: int
) -> None:
    quantizer = Quantizer(Fraction(1), base, base + levels)
    fitted([row(g, b, quantizer, lo, lo + width) for g, b in channels], lo, lo + width, base)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 1 << 12),
    st.integers(-(1 << 16), 1 << 16),
    st.integers(1, 255),
    st.integers(-9, 0),
)
def test_a_channel_of_binary_fractions_always_has_a_fit(
    gain: int, offset: int, levels: int, base: int
) -> None:
    """gain and offset are a solution, on ties with half to even."""
    quantizer = Quantizer(Fraction(1), base, base + levels)
    table = row(Fraction(gain, 1 << 10), Fraction(offset, 1 << 8), quantizer, -900, 900)
    found = fitted([table], -900, 900, base)
    assert found is not None
    assert found.multiplier_bits <= gain.bit_length()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(powers, st.integers(-64, 64)), min_size=1, max_size=4))
def test_ties_of_powers_of_two_have_a_fit(channels: list[tuple[Fraction, int]]) -> None:
    quantizer = Quantizer(Fraction(1), -128, 127)
    rows = [row(gain, Fraction(shift, 4), quantizer, -700, 700) for gain, shift in channels]
    assert fitted(rows, -700, 700, -128) is not None


def test_ties_need_half_to_even_and_little_else() -> None:
    quantizer = Quantizer(Fraction(1), 0, 63)
    found = fitted([row(Fraction(1, 4), Fraction(0), quantizer, -10, 300)], -10, 300, 0)
    assert found is not None
    assert (found.even, found.shift, found.multiplier[0], found.bias[0]) == (True, 2, 1, 2)


def test_the_smallest_shift_and_multiplier_are_found() -> None:
    quantizer = Quantizer(Fraction(1), 0, 255)
    found = fitted([row(Fraction(5, 64), Fraction(3, 128), quantizer, 0, 3000)], 0, 3000, 0)
    assert found is not None
    assert (found.shift, found.multiplier[0], found.even) == (6, 5, False)


@pytest.mark.parametrize("level", [-20, -3, 8])
def test_a_constant_channel_has_multiplier_zero(level: int) -> None:
    """In [-3, 7] the first 13 levels are always met; so are the rest, or never with 8."""
    table = np.sort(np.where(np.arange(31) < 13, -3, level)).reshape(1, -1)
    found = fitted([table], -3, 7, -5)
    assert found is not None
    assert found.multiplier[0] == 0


def test_channels_far_apart_share_a_shift() -> None:
    quantizer = Quantizer(Fraction(1), -16, 15)
    rows = [
        row(gain, Fraction(1, 3), quantizer, -(1 << 14), 1 << 14)
        for gain in (Fraction(7), Fraction(1, 1000), Fraction(0), Fraction(1, 100000))
    ]
    assert fitted(rows, -(1 << 14), 1 << 14, -16) is not None


def test_numbers_that_are_too_wide_for_the_hardware_are_refused() -> None:
    quantizer = Quantizer(Fraction(1), 0, 255)
    ends = np.array([0]), np.array([3000])
    table = row(Fraction(85, 1024), Fraction(3, 128), quantizer, 0, 3000)
    assert fit_to(Multiplier(8, 11), table, *ends, 0) is not None
    # A steeper slope takes more bits at the same shift; a shorter shift has no line at all.
    assert fit_to(Multiplier(7, 11), table, *ends, 0) is None
    assert fit_to(Multiplier(8, 6), table, *ends, 0) is None


def test_each_channel_has_its_own_interval() -> None:
    """Outside a channel's interval its table may say anything."""
    table = np.array([[2, 4, 6, 7, 7, 7], [-5, -5, 0, 10, 20, 30]])
    lo, hi = np.array([0, -5]), np.array([6, 40])
    found = fit_fixed_point(table, lo, hi, 0)
    assert found is not None
    for channel in range(2):
        n = np.arange(lo[channel], hi[channel] + 1)
        expected = counted(table[channel : channel + 1], n, 0)[0]
        assert (found.codes(np.tile(n, (2, 1)))[channel] == expected).all()


def test_thirty_two_bit_accumulators_do_not_overflow() -> None:
    hi = (1 << 31) - 1
    quantizer = Quantizer(Fraction(1), -128, 127)
    table = row(Fraction(128, 1 << 31) * Fraction(999, 1000), Fraction(0), quantizer, -hi - 1, hi)
    found = fit_fixed_point(table, np.array([-hi - 1]), np.array([hi]), -128)
    if found is not None:
        near = np.concatenate([table[0], table[0] - 1, [-hi - 1, hi]])
        exact = [int(found.multiplier[0]) * int(n) + int(found.bias[0]) for n in near]
        codes = np.clip([value >> found.shift for value in exact], -128, 127)
        assert (codes == counted(table, near, -128)[0]).all()


def test_an_uneven_table_has_none() -> None:
    assert fitted([np.array([[0, 1, 100, 101, 102]])], -200, 300, 0) is None
    assert fitted([np.array([[0, 1, 2, 100]])], -200, 300, 0) is None


def test_widths_hold_what_was_found() -> None:
    found = FixedPoint(np.array([0, 5]), np.array([-9, 3]), 1, False, 0, 3)
    assert (found.multiplier_bits, found.bias_bits) == (3, 5)
    assert FixedPoint(np.array([0]), np.array([0]), 0, False, 0, 1).multiplier_bits == 1
