"""Integer quantization with one hand-written gradient instead of a chain of small operations.

    t = x / Δ,   r = round half to even(t),   q = clip(r, lo, hi),   y = Δ·q

    dy/dΔ = q - t where lo <= r <= hi, else q
    dy/dx = 1     where lo <= r <= hi, else 0      activations: PACT's clip stops the gradient
    dy/dx = 1                                      weights: eq. (4) of Boo et al. 2020 applies the
                                                   quantized weight's gradient to the float weight

In PACT (Choi et al. 2018, eq. 3) only clipped values contribute to the gradient of the clipping
value α = hi·Δ, and clipping starts at α itself, not half a step beyond:

    dy/dα = sign of the clip where t >= hi or t <= lo, else 0       (t <= lo if signed only)
    dy/dx = 1     where lo < t < hi, else 0

The forward pass is the same four operations as in Brevitas, so the values are bit-identical.
Outside of training, and on export, Brevitas' own code runs.
"""

from __future__ import annotations

from typing import Any

import torch
from brevitas.core.quant.int_base import IntQuant


class _Quantize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, step: torch.Tensor, lo: int, hi: int, through: bool
    ) -> torch.Tensor:
        # Under autocast x may have 8 significant bits; codes and gradients are computed in float32.
        ctx.given = x.dtype
        t = _full(x) / step
        ctx.save_for_backward(t, step)
        ctx.lo, ctx.hi, ctx.through = lo, hi, through
        return t.round().clamp_(lo, hi).mul_(step)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad = _full(grads[0])
        t, step = ctx.saved_tensors
        r = t.round()
        q = r.clamp(ctx.lo, ctx.hi)
        inside = q == r
        grad_step = None
        if ctx.needs_input_grad[1]:
            slope = torch.where(inside, q - t, q).mul_(grad)
            grad_step = slope.sum() if step.dim() == 0 else slope.sum_to_size(step.shape)
        grad_x = grad if ctx.through else grad.masked_fill(~inside, 0.0)
        return grad_x.to(ctx.given), grad_step, None, None, None


class _Pact(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, step: torch.Tensor, lo: int, hi: int) -> torch.Tensor:
        ctx.given = x.dtype
        t = _full(x) / step
        ctx.save_for_backward(t, step)
        ctx.lo, ctx.hi = lo, hi
        return t.round().clamp_(lo, hi).mul_(step)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad = _full(grads[0])
        t, step = ctx.saved_tensors
        above, below = t >= ctx.hi, t <= ctx.lo
        grad_step = None
        if ctx.needs_input_grad[1]:
            slope = (above * ctx.hi + below * ctx.lo) * grad
            grad_step = slope.sum() if step.dim() == 0 else slope.sum_to_size(step.shape)
        return (grad * ~(above | below)).to(ctx.given), grad_step, None, None


def _full(values: torch.Tensor) -> torch.Tensor:
    """As float32 where mixed precision gave less; anything else unchanged."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


class FusedIntQuant(IntQuant):
    """Drop-in for Brevitas' `IntQuant`, injected as `int_quant`; zero point 0 only."""

    clips_gradient = False

    def forward(
        self,
        scale: torch.Tensor,
        zero_point: torch.Tensor,
        bit_width: torch.Tensor,
        x: torch.Tensor,
    ) -> torch.Tensor:
        """`x` quantized, in the units of `x`."""
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(scale, zero_point, bit_width, x)
        return self._quantized(x, scale, int(self.min_int(bit_width)), int(self.max_int(bit_width)))

    def _quantized(self, x: torch.Tensor, scale: torch.Tensor, lo: int, hi: int) -> torch.Tensor:
        """Codes from `lo` to `hi` times `scale`, with gradients."""
        through = self.signed and not self.clips_gradient
        quantized: torch.Tensor = _Quantize.apply(x, scale, lo, hi, through)
        return quantized


class FusedClippedQuant(FusedIntQuant):
    """For signed activations: clipping stops the gradient, as for unsigned ones."""

    clips_gradient = True


class FusedPactQuant(FusedIntQuant):
    """For activations whose clipping value has PACT's gradient."""

    def _quantized(self, x: torch.Tensor, scale: torch.Tensor, lo: int, hi: int) -> torch.Tensor:
        quantized: torch.Tensor = _Pact.apply(x, scale, lo, hi)
        return quantized
