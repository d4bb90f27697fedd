"""The step of least squared error against a fine search."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.quant.step_size import (
    binary_step,
    largest_value_step,
    least_error_power_of_two,
    least_error_step,
)


def error(values: np.ndarray, step: float, lo: int, hi: int) -> float:
    return float(((values - step * np.clip(np.round(values / step), lo, hi)) ** 2).sum())


def searched(values: np.ndarray, lo: int, hi: int) -> float:
    """Least error over 4,000 steps, each improved to the best for its codes."""
    best = np.inf
    for step in np.linspace(0.001, 1.2, 4000) * np.abs(values).max() / hi:
        codes = np.clip(np.round(values / step), lo, hi)
        if (codes * codes).sum() > 0:
            better = abs((values * codes).sum() / (codes * codes).sum())
            best = min(best, error(values, max(better, 1e-9), lo, hi))
    return best


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    bits=st.integers(2, 5),
    # With fewer values than this per code, the error has more local minima than the grid separates.
    count=st.integers(100, 400),
    heavy=st.booleans(),
)
def test_weights_come_within_two_percent_of_a_fine_search(seed, bits, count, heavy):
    rng = np.random.default_rng(seed)
    values = rng.standard_t(3, count) if heavy else rng.standard_normal(count)
    hi = 2 ** (bits - 1) - 1
    step = least_error_step(torch.from_numpy(values)[None], -hi, hi).item()
    assert error(values, step, -hi, hi) <= 1.02 * searched(values, -hi, hi) + 1e-12


def test_ternary_weights_get_the_optimum_known_from_sorting():
    # With codes -1, 0, 1 the k largest magnitudes get a code: minimize over k.
    values = np.random.default_rng(3).standard_normal(500)
    magnitude = np.sort(np.abs(values))[::-1]
    k = np.arange(1, 501)
    best = (values**2).sum() - (np.cumsum(magnitude) ** 2 / k).max()
    step = least_error_step(torch.from_numpy(values)[None], -1, 1).item()
    assert error(values, step, -1, 1) == pytest.approx(best, rel=1e-3)


def test_rows_are_independent():
    rows = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    rows[2] *= 100
    together = least_error_step(rows, -3, 3)
    alone = torch.cat([least_error_step(row[None], -3, 3) for row in rows])
    assert torch.equal(together, alone)


def test_values_on_a_grid_are_met_exactly():
    codes = torch.tensor([[0.0, 1, 2, 3, 3, 2, 1, 3]])
    assert least_error_step(codes * 0.3, 0, 3).item() == pytest.approx(0.3)
    assert largest_value_step(codes * 0.3, 0, 3).item() == pytest.approx(0.3)


def test_power_of_two_steps_are_the_best_powers():
    values = torch.randn(1, 300, generator=torch.Generator().manual_seed(1))
    got = least_error_power_of_two(values, -3, 3).item()
    powers = [2.0**k for k in range(-10, 5)]
    assert got == min(powers, key=lambda step: error(values.numpy().astype(float), step, -3, 3))


def test_rows_of_zeros_get_a_harmless_step():
    for function in (least_error_step, largest_value_step, least_error_power_of_two):
        step = function(torch.zeros(2, 9), -3, 3)
        assert bool((step > 0).all())
        assert bool(torch.isfinite(step).all())


def test_the_step_of_binary_weights_has_the_least_error_of_all():
    rows = torch.randn(3, 500, generator=torch.Generator().manual_seed(0))
    steps = binary_step(rows)
    assert torch.equal(binary_step(torch.zeros(1, 4)), torch.ones(1, dtype=torch.float64))

    def error(factor: float) -> torch.Tensor:
        return (rows - rows.sign() * (steps * factor)[:, None]).square().sum(dim=1)

    assert (error(1.0) < error(0.98)).all() and (error(1.0) < error(1.02)).all()
