"""The grid of votes: what is chosen, and that float32 cannot mistake a code on it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qdeploy.ensemble.vote import ENOUGH, ambiguous, choose_grid, factors, short_fraction

GAINS = st.fractions(Fraction(1, 10**6), 50, max_denominator=10**9)


@given(GAINS, st.integers(-(2**20), 2**20))
def test_no_sum_is_near_an_edge_between_two_codes(wanted: Fraction, number: int) -> None:
    ratio = short_fraction(wanted)
    assert ratio.denominator % 2 == 1
    value = number * ratio
    edge = Fraction(2 * (value - Fraction(1, 2)).__round__() + 1, 2)
    assert abs(value - edge) >= Fraction(1, 2 * ratio.denominator)


@given(GAINS)
def test_the_fraction_is_within_a_percent(wanted: Fraction) -> None:
    assert abs(short_fraction(wanted) / wanted - 1) < Fraction(1, 100)


@given(st.lists(GAINS, min_size=1, max_size=5), st.integers(-8, 8))
def test_factors_bring_gains_to_the_fraction(gains: list[Fraction], power: int) -> None:
    step = Fraction(2) ** power * Fraction(2049, 2048)
    found = factors(gains, float(step))
    assert found.dtype == np.float32
    for gain, factor in zip(gains, found.tolist(), strict=True):
        ratio = short_fraction(gain / step)
        assert abs(Fraction(factor) * gain / step / ratio - 1) < Fraction(1, 2**23)


def logits(members: int = 3, images: int = 600, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    common = 2 * torch.randn(images, 10, generator=generator)
    common[range(images), torch.randint(10, (images,), generator=generator)] += 6
    return [common + torch.randn(images, 10, generator=generator) for _ in range(members)]


def agreement(found: list[torch.Tensor], bits: int, step: float) -> float:
    top = 2 ** (bits - 1) - 1
    votes = sum((one.double() / step).round().clamp(-top, top) for one in found)
    exact = sum(one.double() for one in found)
    return float((votes.argmax(1) == exact.argmax(1)).double().mean())  # type: ignore[union-attr]


def test_the_width_is_the_least_that_agrees_with_the_exact_sum() -> None:
    found = logits()
    grid = choose_grid(found)
    assert 3 < grid.bits < 8
    assert grid.agreement == agreement(found, grid.bits, grid.step) >= ENOUGH
    assert choose_grid(found, grid.bits - 1).agreement < ENOUGH


def test_no_step_tried_agrees_more_often() -> None:
    found = logits()
    grid = choose_grid(found, 4)
    assert grid.bits == 4
    whole = max(float(one.abs().max()) for one in found) / grid.top
    others = [agreement(found, 4, whole * (1 - share / 24 * 0.75)) for share in range(25)]
    assert grid.agreement >= max(others) - 2 / 600  # steps are rounded to a few bits


@pytest.mark.parametrize("bits", [3, 5, 8])
def test_steps_of_members_with_powers_of_two_are_powers_of_two(bits: int) -> None:
    grid = choose_grid(logits(), bits, power_of_two=True)
    assert np.log2(grid.step) == np.round(np.log2(grid.step))


def test_logits_of_zero_have_a_grid() -> None:
    assert choose_grid([torch.zeros(4, 3), torch.zeros(4, 3)]).step > 0


def test_ambiguous_images_are_means_of_two_in_input_codes() -> None:
    codes = torch.tensor([0, 15, 4]).reshape(3, 1, 1, 1)
    found = ambiguous(codes / 16, 4) * 16
    assert found.flatten().tolist() == [2, 7, 9]
