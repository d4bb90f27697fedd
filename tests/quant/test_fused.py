"""The fused quantizer: Brevitas' values, and the gradients its docstring states."""

import math

import pytest
import torch
from brevitas.core.quant.int_base import IntQuant

from qdeploy.quant.fused import FusedIntQuant, FusedPactQuant, Quantize
from qdeploy.quant.native import Rule


def pair(signed: bool) -> tuple[FusedIntQuant, IntQuant]:
    arguments = {
        "narrow_range": signed,
        "signed": signed,
        "input_view_impl": torch.nn.Identity(),
    }
    return FusedIntQuant(**arguments).train(), IntQuant(**arguments).train()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(), (6, 1)])
def test_values_are_brevitas_bits_ties_included(signed, bits, shape):
    if signed and bits == 1:
        bits = 4
    fused, plain = pair(signed)
    generator = torch.Generator().manual_seed(bits)
    step = torch.rand(shape, generator=generator) + 0.05
    x = torch.randn(6, 500, generator=generator) * 2
    x[:, ::7] = (torch.arange(72) - 36 + 0.5) * step
    zero, width = torch.tensor(0.0), torch.tensor(float(bits))
    assert torch.equal(fused(step, zero, width, x), plain(step, zero, width, x))


def gradients(through: bool, shape: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 200, generator=generator, dtype=torch.float64, requires_grad=True)
    step = (torch.rand(shape, generator=generator, dtype=torch.float64) + 0.2).requires_grad_()
    upstream = torch.randn(5, 200, generator=generator, dtype=torch.float64)
    Quantize.apply(x, step, 0.0, 1, -3, 3, Rule.THROUGH if through else Rule.CLIP).backward(
        upstream
    )
    return x, step, upstream


@pytest.mark.parametrize("shape", [(), (5, 1)])
def test_gradients_of_activations_are_those_of_the_straight_through_chain(shape):
    x, step, upstream = gradients(False, shape)
    x2, step2 = x.detach().requires_grad_(), step.detach().requires_grad_()
    t = x2 / step2
    rounded = t + (t.round() - t).detach()
    inside = (rounded >= -3) & (rounded <= 3)
    (torch.where(inside, rounded, rounded.detach().clamp(-3, 3)) * step2).backward(upstream)
    torch.testing.assert_close(x.grad, x2.grad)
    # LSQ's factor: 200 activations of an image share the step, and the highest code is 3.
    torch.testing.assert_close(step.grad, step2.grad / math.sqrt(200 * 3))


@pytest.mark.parametrize(("shape", "sharing"), [((), 1000), ((5, 1), 200)])
def test_a_weights_step_moves_by_lsqs_gradient_of_the_weights_that_share_it(shape, sharing):
    x, step, upstream = gradients(True, shape)
    t = x.detach() / step.detach()
    q = t.round().clamp(-3, 3)
    slope = torch.where(t.round() == q, q - t, q) * upstream
    wanted = slope.sum_to_size(shape) if shape else slope.sum()
    torch.testing.assert_close(step.grad, wanted / math.sqrt(sharing * 3))


def test_weights_receive_the_quantized_weights_gradient_unchanged():
    x, _, upstream = gradients(True, ())
    assert torch.equal(x.grad, upstream)


def test_the_clip_of_activations_stops_the_gradient_beyond_it_and_takes_it():
    x = torch.tensor([0.4, 5.0, -2.0], requires_grad=True)
    step = torch.tensor(0.5, requires_grad=True)
    Quantize.apply(x, step, 0.0, 1, 0, 3, Rule.CLIP).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 0.0]
    assert step.grad.item() == pytest.approx(((1 - 0.8) + 3 + 0) / math.sqrt(3))


@pytest.mark.parametrize("signed", [True, False])
def test_pacts_clip_moves_by_clipped_values_alone(signed):
    quantizer = FusedPactQuant(signed, signed, torch.nn.Identity()).train()
    generator = torch.Generator().manual_seed(1)
    x = (torch.randn(400, generator=generator) * 2).requires_grad_()
    x.data = x.data if signed else x.data.relu()
    alpha = torch.tensor(1.5, requires_grad=True)
    levels = 1 if signed else 3
    zero, width = torch.tensor(0.0), torch.tensor(2.0)
    upstream = torch.randn(400, generator=generator)
    y = quantizer(alpha / levels, zero, width, x)
    y.backward(upstream)
    lowest = -1.5 if signed else 0.0
    # PACT's eq. (1) to (3): clip, round with a straight-through gradient.
    clipped = torch.clamp(x.detach(), lowest, 1.5)
    torch.testing.assert_close(y, (clipped * levels / 1.5).round() * 1.5 / levels)
    above, below = x.detach() >= 1.5, x.detach() <= lowest
    assert above.sum() > 20
    assert torch.equal(x.grad, torch.where(above | below, 0.0, upstream))
    wanted = upstream[above].sum() - (upstream[below].sum() if signed else 0.0)
    torch.testing.assert_close(alpha.grad, wanted)
