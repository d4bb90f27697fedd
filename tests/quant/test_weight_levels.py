"""Weights of powers of two and of sums of them: levels, values, gradients, starting steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.networks.from_recipe import build_network
from qdeploy.quant.quantizers import code_range, tensor_quantizer, weight_level_quantizer
from qdeploy.quant.starting_scales import set_weight_scales
from qdeploy.quant.step_size import least_error_step
from qdeploy.quant.weight_levels import QuantizeLevels, grid_bits, magnitudes, nearest
from qdeploy.recipe.models import Recipe
from qdeploy.training.analysis.trace import weight_layers
from qdeploy.training.methods.weight_codes import quantized_weights

KINDS = [("power_of_two", 3), ("power_of_two", 4), ("apot", 3), ("apot", 4), ("apot", 5)]
PHASES = [
    {"name": "float", "kind": "pretrain", "epochs": 1},
    {"name": "retrain", "kind": "retrain", "epochs": 1},
]


def recipe_of(**quantization: object) -> Recipe:
    network = {"type": "fcdnn", "width": 40, "depth": 3}
    return Recipe.model_validate(
        {"name": "x", "network": network, "quantization": quantization, "phases": PHASES}
    )


def test_levels_are_those_of_the_papers() -> None:
    assert magnitudes("power_of_two", 3) == (0, 1, 2, 4)
    assert magnitudes("power_of_two", 4) == (0, 1, 2, 4, 8, 16, 32, 64)
    assert magnitudes("apot", 3) == (0, 1, 2, 4)
    # Li et al. 2020, of the authors' program, in units of the smallest level.
    assert magnitudes("apot", 4) == (0, 1, 2, 3, 4, 6, 8, 10)
    sums = {a + b for a in (0, 32, 8, 2) for b in (0, 16, 4, 1)}
    assert magnitudes("apot", 5) == tuple(sorted(sums))
    for kind, bits in KINDS:
        assert len(magnitudes(kind, bits)) == 2 ** (bits - 1)  # with signs, 2^b - 1 levels
        assert magnitudes(kind, bits)[-1] < 2 ** (grid_bits(kind, bits) - 1)
    assert [grid_bits(*one) for one in KINDS] == [4, 8, 4, 5, 7]


@pytest.mark.parametrize(("kind", "bits"), KINDS)
@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=50))
def test_the_nearest_level_is_taken_the_smaller_one_of_two(
    kind: str, bits: int, values: list[float]
) -> None:
    own = magnitudes(kind, bits)
    levels = torch.tensor(own, dtype=torch.float32)
    halves = [
        sign * (a + b) / 2 for a, b in zip(own[1:], own[:-1], strict=True) for sign in (1, -1)
    ]
    x = torch.tensor([*values, *halves])
    found = nearest(x, levels).tolist()
    for value, code in zip(x.tolist(), found, strict=True):
        assert code in (0, math.copysign(abs(code), value))
        best = min(abs(abs(value) - one) for one in own)
        assert abs(code) == min(one for one in own if abs(abs(value) - one) == best)


@pytest.mark.parametrize(("kind", "bits"), KINDS)
@pytest.mark.parametrize("shape", [(), (5, 1)])
def test_gradients_are_the_straight_through_ones_with_lsqs_factor(
    kind: str, bits: int, shape: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(0)
    levels = torch.tensor(magnitudes(kind, bits), dtype=torch.float64)
    highest = float(levels[-1])
    x = torch.randn(5, 200, generator=generator, dtype=torch.float64) * highest / 4
    x.requires_grad_()
    step = (torch.rand(shape, generator=generator, dtype=torch.float64) + 0.2).requires_grad_()
    grad = torch.randn(5, 200, generator=generator, dtype=torch.float64)
    QuantizeLevels.apply(x, step, 0.0, 1, levels).backward(grad)
    assert x.grad is not None and torch.equal(x.grad, grad)
    t = (x / step).detach().numpy()
    q = nearest(torch.from_numpy(t), levels).numpy()
    inside = np.abs(t) <= highest
    assert 0 < inside.mean() < 1
    wanted = np.where(inside, q - t, q) * grad.numpy()
    wanted = wanted.sum(axis=1, keepdims=True) if shape else wanted.sum()
    sharing = 200 if shape else 1000
    assert step.grad is not None
    np.testing.assert_allclose(step.grad, wanted / math.sqrt(sharing * highest), rtol=1e-9)


@pytest.mark.parametrize(("kind", "bits"), KINDS)
@pytest.mark.parametrize("scaling", ["per_layer", "per_channel"])
def test_a_network_has_the_levels_where_the_width_has_them(
    kind: str, bits: int, scaling: str
) -> None:
    layers = {"hidden3.fc": {"weight_bits": 2}}
    recipe = recipe_of(weight_bits=bits, weight_levels=kind, weight_scaling=scaling, layers=layers)
    network = build_network(recipe, quantized=True)
    set_weight_scales(network, recipe.quantization)
    own = magnitudes(kind, bits)
    layer = network.hidden2.fc  # type: ignore[union-attr]
    found = layer.quant_weight() / layer.weight_quant.scale()  # type: ignore[union-attr, operator]
    codes = found.round().detach()
    assert torch.allclose(found, codes, atol=1e-4)
    assert {abs(code) for code in codes.unique().tolist()} == set(own)
    assert code_range(layer.weight_quant) == (-own[-1], own[-1])  # type: ignore[union-attr]
    for other, highest in ((network.hidden1, 127), (network.hidden3, 1)):
        assert code_range(other.fc.weight_quant) == (-highest, highest)  # type: ignore[union-attr]
        assert weight_level_quantizer(other.fc.weight_quant) is None  # type: ignore[union-attr]
    inner = quantized_weights(network)[1]
    assert inner.bits == bits
    assert torch.equal(inner.codes(inner.in_steps()), codes)
    image = torch.rand(1, *network.input_shape)  # type: ignore[misc]
    assert [one.weight_bits for one in weight_layers(network, image)] == [8, bits, 2, 8]


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_the_first_step_has_the_least_error_of_a_fine_search(kind: str, bits: int) -> None:
    recipe = recipe_of(weight_bits=bits, weight_levels=kind)
    layer = build_network(recipe, quantized=True).hidden2.fc  # type: ignore[union-attr]
    rounding = tensor_quantizer(layer.weight_quant).int_quant.codes  # type: ignore[union-attr]
    highest = magnitudes(kind, bits)[-1]
    w = torch.randn(4000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def error(step: torch.Tensor) -> float:
        return float((w - rounding(w / step) * step).square().sum())

    found = least_error_step(w[None], -highest, highest, rounding)
    searched = torch.linspace(0.02, 1.2, 4000, dtype=torch.float64) * w.abs().max() / highest
    assert error(found) <= 1.005 * min(error(step) for step in searched)
    uniform = least_error_step(w[None], -highest, highest)
    assert error(found) < error(uniform)
