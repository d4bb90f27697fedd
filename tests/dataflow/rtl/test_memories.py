"""Memory files: which bit of which line a weight or threshold is in."""

from __future__ import annotations

import numpy as np
import pytest

from qdeploy.dataflow.rtl.memories import threshold_files, threshold_lines, weight_lines, wide_lines
from qdeploy.errors import InternalError


def field(line: str, index: int, bits: int) -> int:
    """Signed value of the index-th field of a word."""
    value = (int(line, 16) >> (index * bits)) & ((1 << bits) - 1)
    return value - (1 << bits) if value >> (bits - 1) else value


@pytest.mark.parametrize("pe, simd, bits", [(1, 1, 2), (2, 3, 3), (4, 6, 8), (2, 1, 5)])
def test_each_weight_is_at_its_fold_and_lane(pe: int, simd: int, bits: int) -> None:
    half = 1 << (bits - 1)
    W = np.random.default_rng(bits).integers(-half, half, (4, 6))
    lines = weight_lines(W, pe, simd, bits)
    folds = 6 // simd
    assert len(lines) == 4 // pe * folds
    assert {len(line) for line in lines} == {(pe * simd * bits + 3) // 4}
    for row in range(4):
        for column in range(6):
            word = lines[row // pe * folds + column // simd]
            assert field(word, row % pe * simd + column % simd, bits) == W[row, column]


def test_each_threshold_is_at_its_fold_and_lane() -> None:
    T = np.sort(np.random.default_rng(0).integers(-500, 500, (6, 3)), axis=1)
    lines = threshold_lines(T, 2, 11)
    for channel in range(6):
        for level in range(3):
            word = lines[channel // 2]
            assert field(word, channel % 2 * 3 + level, 11) == T[channel, level]


@pytest.mark.parametrize("levels", [16, 31, 100, 255])
def test_search_files_walk_to_the_count(levels: int) -> None:
    rng = np.random.default_rng(levels)
    T = np.sort(rng.integers(-2000, 2000, (4, levels)), axis=1)
    files = threshold_files("t", T, 2, 12)
    stages = levels.bit_length()
    assert len(files) == 2 * stages
    for channel in range(4):
        for acc in rng.integers(-2048, 2048, 50):
            path = 0
            for stage in range(stages):
                lines = files[f"t_s{stage:02d}_p{channel % 2:04d}.hex"]
                met = acc >= field(lines[(channel // 2 << stage) + path], 0, 12)
                path = 2 * path + int(met)
            assert min(path, levels) == (acc >= T[channel]).sum()


def test_a_threshold_below_the_range_is_always_met_and_one_above_refused() -> None:
    assert field(threshold_lines([[-900]], 1, 8)[0], 0, 8) == -128
    with pytest.raises(InternalError, match="128 does not fit 8 bits"):
        threshold_lines([[128]], 1, 8)


def test_foldings_that_do_not_divide_are_refused() -> None:
    with pytest.raises(InternalError, match="do not divide"):
        weight_lines(np.zeros((4, 6), int), 3, 2, 2)
    with pytest.raises(InternalError, match="PE 3"):
        threshold_lines(np.zeros((4, 1), int), 3, 8)


def test_weights_wider_than_their_bits_are_refused() -> None:
    with pytest.raises(InternalError, match="do not fit 2 bits"):
        weight_lines([[-3]], 1, 1, 2)


@pytest.mark.parametrize("bits", [3, 31, 47, 90])
def test_numbers_wider_than_a_machine_word_are_at_their_lane(bits: int) -> None:
    top = 1 << (bits - 1)
    numbers = [-top, top - 1, 0, -1, top // 3, -(top // 5)]
    lines = wide_lines(numbers, 3, bits)
    assert [field(line, lane, bits) for line in lines for lane in range(3)] == numbers


def test_numbers_wider_than_their_bits_and_words_half_full_are_refused() -> None:
    with pytest.raises(InternalError, match="16 does not fit 4 bits"):
        wide_lines([15, 16], 1, 4)
    with pytest.raises(InternalError, match="-9 does not fit 4 bits"):
        wide_lines([-9], 1, 4)
    with pytest.raises(InternalError, match="3 numbers do not fill words of 2"):
        wide_lines([1, 2, 3], 2, 4)
