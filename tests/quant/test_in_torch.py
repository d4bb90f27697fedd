"""The passes in torch's operations: pieces of a large tensor give what the whole gives."""

from __future__ import annotations

import pytest
import torch

from qdeploy.quant import in_torch
from qdeploy.quant.native import Rule, Scale


def of_the_whole(
    grad: torch.Tensor, x: torch.Tensor, step: float, lo: int, hi: int, rule: Rule
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Values and gradients as the formulas in `fused` state them, in float64."""
    # In the type of x, as the values are computed.
    t = (x / torch.tensor(step, dtype=x.dtype)).double()
    r = t.round()
    q = r.clamp(lo, hi)
    if rule == Rule.PACT:
        inside = (t > lo) & (t < hi)
        slope = torch.where(t >= hi, hi, torch.where(t <= lo, lo, 0.0))
    else:
        inside = (r >= lo) & (r <= hi)
        if rule == Rule.CLIP_AFTER_RELU:
            inside &= t > 0
        slope = torch.where(inside, q - t, q)
    grad_x = grad if rule == Rule.THROUGH else torch.where(inside, grad, 0)
    return q * step, grad_x, float((grad.double() * slope).sum())


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("layout", ["contiguous", "channels last", "flat", "other gradient"])
@pytest.mark.parametrize(("lo", "hi"), [(0, 3), (-3, 3), (-8, 7)])
def test_pieces_give_what_the_whole_gives(rule: Rule, layout: str, lo: int, hi: int) -> None:
    if rule == Rule.CLIP_AFTER_RELU and lo < 0:
        lo = 0
    generator = torch.Generator().manual_seed(lo + 10 * hi)
    shape = (5, 11, 101, 103) if layout != "flat" else (572165 + 7,)
    x, grad = (torch.randn(shape, generator=generator) * 3 for _ in range(2))
    x.view(-1)[::5] = torch.randint(-20, 20, (len(x.view(-1)[::5]),), generator=generator) / 4
    if layout in ("channels last", "other gradient"):
        x = x.to(memory_format=torch.channels_last)
    if layout == "channels last":
        grad = grad.to(memory_format=torch.channels_last)
    scale = Scale(torch.tensor(0.5), 0.0, 1)
    assert x.numel() % in_torch.PIECE and x.numel() > 4 * in_torch.PIECE
    y, wanted, slope = of_the_whole(grad, x, 0.5, lo, hi, rule)
    found = in_torch.quantize(x, scale, lo, hi)
    assert found.stride() == x.stride() and torch.equal(found.double(), y)
    grad_x, sums = in_torch.gradient(grad.clone(), x, scale, lo, hi, rule)
    assert torch.equal(grad_x, wanted)
    assert float(sums) == pytest.approx(slope, abs=1e-6 * float(grad.abs().sum()) * hi)


def test_what_is_given_is_left_alone() -> None:
    x, grad = torch.randn(600_000), torch.randn(600_000)
    kept = x.clone(), grad.clone()
    for rule in Rule:
        in_torch.quantize(x, Scale(torch.tensor(0.5), 0.0, 1), 0, 3)
        in_torch.gradient(grad, x, Scale(torch.tensor(0.5), 0.0, 1), 0, 3, rule)
    assert torch.equal(x, kept[0]) and torch.equal(grad, kept[1])


def test_large_tensors_of_double_precision_stay_that() -> None:
    x = torch.randn(3, 4, 300, 301, dtype=torch.float64).to(memory_format=torch.channels_last)
    grad = torch.randn(3, 4, 300, 301, dtype=torch.float64)
    scale = Scale(torch.tensor(0.5, dtype=torch.float64), 0.0, 1)
    made, _ = in_torch.gradient(grad, x, scale, -3, 3, Rule.PACT)
    inside = (x > -1.5) & (x < 1.5)
    assert torch.equal(made, torch.where(inside, grad, 0))
