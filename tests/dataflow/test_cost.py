"""Estimates against what Yosys 0.23 gave for the blocks (LUTs, BRAM36, DSP blocks)."""

from __future__ import annotations

import pytest

from qdeploy.dataflow import cost

SEARCHES = [
    (dict(channels=16, pe=1, bits=9, levels=254), 259, 1.0),
    (dict(channels=64, pe=1, bits=16, levels=255), 372, 7.5),
    (dict(channels=64, pe=4, bits=16, levels=255), 1614, 6.0),
    (dict(channels=16, pe=2, bits=9, levels=31), 199, 0.0),
]
# channels, PE, bits of accumulator, multiplier, bias and code
REQUANTIZERS = [
    ((16, 1, 9, 14, 18, 8), 112, 1),
    ((64, 1, 16, 22, 28, 8), 140, 1),
    ((64, 4, 16, 22, 28, 8), 346, 4),
    ((16, 2, 9, 9, 12, 5), 108, 2),
    ((16, 1, 9, 1, 10, 8), 96, 0),
    ((16, 1, 9, 2, 10, 8), 129, 0),
]


def requantizer(sizes: tuple[int, int, int, int, int, int]) -> cost.Cost:
    channels, pe, accumulator, multiplier, bias, code = sizes
    return cost.requantizer(
        pe=pe,
        channels=channels,
        accumulator_bits=accumulator,
        multiplier_bits=multiplier,
        bias_bits=bias,
        out_bits=code,
    )


@pytest.mark.parametrize(("sizes", "lut", "blocks"), SEARCHES)
def test_a_search_is_estimated_with_its_memories(
    sizes: dict[str, int], lut: int, blocks: float
) -> None:
    estimate = cost.thresholds(**sizes)
    assert estimate.lut == pytest.approx(lut, rel=0.3)
    assert (estimate.bram36, estimate.dsp) == (blocks, 0)


@pytest.mark.parametrize(("sizes", "lut", "dsp"), REQUANTIZERS)
def test_a_requantizer_is_estimated_with_its_multipliers(
    sizes: tuple[int, int, int, int, int, int], lut: int, dsp: int
) -> None:
    estimate = requantizer(sizes)
    assert estimate.lut == pytest.approx(lut, rel=0.3)
    assert (estimate.bram36, estimate.dsp) == (0.0, dsp)


def test_wide_products_take_two_dsp_blocks_or_four() -> None:
    assert requantizer((8, 1, 18, 24, 40, 8)).dsp == 1
    assert requantizer((8, 1, 19, 17, 40, 8)).dsp == 1
    assert requantizer((8, 1, 19, 18, 40, 8)).dsp == 2
    assert requantizer((8, 2, 18, 25, 40, 8)).dsp == 4
    assert requantizer((8, 1, 26, 20, 40, 8)).dsp == 4


@pytest.mark.parametrize(
    ("width", "words", "blocks"),
    [(36, 512, 0.5), (72, 512, 1.0), (1, 16384, 0.5), (2, 500_000, 31.0), (16, 8192, 4.0)],
)
def test_a_memory_takes_the_shape_of_fewest_blocks(width: int, words: int, blocks: float) -> None:
    assert cost.block_ram(width, words) == blocks
