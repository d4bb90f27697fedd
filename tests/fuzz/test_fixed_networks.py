"""Networks that once failed somewhere between QONNX and RTL, each in its smallest form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz import check
from qonnx_writer import Weights
from random_qonnx import QonnxMaker

POINT = {"kernel": (1, 1), "pads": (0, 0, 0, 0)}


def fork_after_a_pool() -> QonnxMaker:
    """FINN's pass for channels-last pools lost the second branch."""
    maker = QonnxMaker(0, (2, 4, 4), bits=4).conv(3).norm().relu().act(bits=3).max_pool()
    start = maker.mark()
    long = maker.conv(3).norm().act(bits=4, signed=True).mark()
    short = maker.back_to(start).act(bits=4, signed=True, scale=long.scale).mark()
    return maker.back_to(long).join(short).relu().act(bits=2)


def pixels_that_no_window_reads() -> QonnxMaker:
    """They were still under way when the last output was out."""
    maker = QonnxMaker(1, (1, 6, 7), bits=3).conv(2).norm().relu().act(bits=2)
    return maker.conv(3, (2, 2), (3, 3), (0, 0, 0, 0)).norm().relu().act(bits=2)


def fork_of_the_input() -> QonnxMaker:
    """Its copies were taken for the network's output."""
    maker = QonnxMaker(2, (2, 3, 4), bits=3)
    start = maker.mark()
    long = maker.conv(2).norm().act(bits=4, signed=True).mark()
    short = maker.back_to(start).act(bits=4, signed=True, scale=long.scale).mark()
    return maker.back_to(long).join(short).pool_all()


def averages_as_logits() -> QonnxMaker:
    """The Flatten after the sums over pixels was left over."""
    maker = QonnxMaker(3, (1, 4, 5), bits=2).conv(3, weights=Weights(3)).act(bits=4, signed=True)
    maker.pool_all().features.add("argmax")
    return maker


def pool_with_another_border_on_each_side() -> QonnxMaker:
    """FINN's operator knows even padding only."""
    maker = QonnxMaker(4, (1, 5, 6), bits=3).conv(2).norm().relu().act(bits=3)
    return maker.max_pool((3, 2), (2, 1), (1, 0, 2, 1))


def pool_whose_stride_passes_its_window() -> QonnxMaker:
    """FINN's pass leaves such a pool alone."""
    maker = QonnxMaker(5, (1, 7, 7), bits=3).conv(2).norm().act(bits=3, signed=True)
    return maker.max_pool((2, 1), (3, 3)).conv(3, **POINT).act(bits=2)


@pytest.mark.parametrize(
    "make",
    [
        fork_after_a_pool,
        pixels_that_no_window_reads,
        fork_of_the_input,
        averages_as_logits,
        pool_with_another_border_on_each_side,
        pool_whose_stride_passes_its_window,
    ],
    ids=lambda make: make.__name__.replace("_", " "),
)
def test_a_fixed_network_agrees_at_every_level(
    make: Callable[[], QonnxMaker], models: Path, tmp_path: Path
) -> None:
    assert check(make(), tmp_path, models, seed=1).codes > 0
