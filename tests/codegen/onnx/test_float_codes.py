from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.codegen.onnx.float_codes import fit_fold, fit_line, split_parity
from qdeploy.ir.integer_graph import IntArray
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.integers.quantizer import Quantizer
from qdeploy.lowering.integers.thresholds import threshold_table

LO, HI = -200, 300
BOUNDS = np.array([LO]), np.array([HI])
gains = st.fractions(Fraction(1, 500), Fraction(1, 2), max_denominator=4096)
offsets = st.fractions(-20, 20, max_denominator=64)


def table_of(gain: Fraction, offset: Fraction, levels: int) -> IntArray:
    return threshold_table(
        [gain], [offset], Quantizer(Fraction(1), 0, levels), Intervals((LO,), (HI,))
    )


def counted(table: IntArray) -> IntArray:
    return (np.arange(LO, HI + 1)[None, :, None] >= table[:, None, :]).sum(2)


@settings(max_examples=200, deadline=None)
@given(gains, offsets, st.integers(1, 15), st.integers(-8, 3))
def test_a_fold_gives_every_code_and_stays_below_24_bits(
    gain: Fraction, offset: Fraction, levels: int, base: int
) -> None:
    table = table_of(gain, offset, levels)
    fold = fit_fold(table, *BOUNDS, np.array([300]), base)
    if fold is None:
        return
    n = np.arange(LO, HI + 1)
    value = fold.multiplier[:, None] * n + fold.bias[:, None]
    codes = np.clip(value >> fold.shift[:, None], base, base + levels)
    assert np.abs(value).max() < 2**24
    assert (codes == base + counted(table)).all()


@settings(max_examples=200, deadline=None)
@given(gains, offsets, st.integers(1, 255))
def test_a_line_gives_every_code(gain: Fraction, offset: Fraction, levels: int) -> None:
    table = table_of(gain, offset, levels)
    line = fit_line(table, *BOUNDS)
    if line is not None:
        assert (line.count(np.arange(LO, HI + 1)[None]) == counted(table)).all()


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([2, 4, 8]), st.integers(-10, 10), st.integers(2, 255))
def test_ties_of_powers_of_two_split_into_two_lines(divisor: int, shift: int, levels: int) -> None:
    table = table_of(Fraction(1, divisor), Fraction(shift), levels)
    even, odd = split_parity(table)
    lines = [fit_line(part, *BOUNDS) for part in (even, odd)]
    found = [line for line in lines if line is not None]
    assert len(found) == 2
    n = np.arange(LO, HI + 1)[None]
    assert (found[0].count(n) + found[1].count(n) == counted(table)).all()


def test_most_tables_without_ties_have_a_fold() -> None:
    rng = np.random.default_rng(0)
    missing = 0
    for _ in range(200):
        gain, offset = Fraction(float(rng.uniform(0.004, 0.05))), Fraction(float(rng.normal()))
        missing += fit_fold(table_of(gain, offset, 3), *BOUNDS, np.array([300]), 0) is None
    assert missing <= 2


def test_an_uneven_table_has_neither_fold_nor_line() -> None:
    table = np.array([[0, 1, 100, 101, 102]])
    assert fit_fold(table, *BOUNDS, np.array([300]), 0) is None
    assert fit_line(table, *BOUNDS) is None
