"""Integer quantization with one hand-written gradient instead of a chain of small operations.

    t = x / Δ,   r = round half to even(t),   q = clip(r, lo, hi),   y = Δ·q

    dy/dΔ = q - t where lo <= r <= hi, else q
    dy/dx = 1     where lo <= r <= hi, else 0      activations: the clip stops the gradient
    dy/dx = 1                                      weights: eq. (4) of Boo et al. 2020 applies the
                                                   quantized weight's gradient to the float weight

The gradient of a learned Δ is scaled by 1 / sqrt(N·hi), so that Δ moves in proportion to itself as
weights do (LSQ, Esser et al. 2020, section 2.2): N weights share it, or N activations of an image.

In PACT (Choi et al. 2018, eq. 3) only clipped values contribute to the gradient of the clipping
value α = hi·Δ, and clipping starts at α itself, not half a step beyond:

    dy/dα = sign of the clip where t >= hi or t <= lo, else 0       (t <= lo if signed only)
    dy/dx = 1     where lo < t < hi, else 0

A ReLU in front of an unsigned quantizer changes no value, and stops the gradients where x <= 0.

The forward pass is the same four operations as in Brevitas, so the values are bit-identical. Both
passes run in C where they can (`native`), otherwise in torch. Outside of training, and on export,
Brevitas' own code runs.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from brevitas.core.quant.int_base import IntQuant
from torch.autograd.function import once_differentiable

from qdeploy.quant import in_torch, native
from qdeploy.quant.native import Rule, Scale


class Quantize(torch.autograd.Function):
    """`x` quantized with steps of max(|value|, smallest) / levels.

    Arguments of `apply`: x, value, smallest, levels, lo, hi, rule. The gradient of `value` passes
    the maximum, as in Brevitas.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        value: torch.Tensor,
        smallest: float,
        levels: int,
        lo: int,
        hi: int,
        rule: Rule,
    ) -> torch.Tensor:
        """Δ·q as float32, or as float64 where `x` is that."""
        ctx.scale, ctx.lo, ctx.hi, ctx.rule = (smallest, levels), lo, hi, rule
        ctx.given, ctx.native = x.dtype, native.takes(x, value)
        keeps = rule != Rule.THROUGH or ctx.needs_input_grad[1]
        scale = Scale(value, smallest, levels)
        if keeps:
            ctx.save_for_backward(x, value)
        return quantized(x, scale, lo, hi)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of `x` and `value`."""
        grad = full_precision(grads[0])
        wanted = ctx.needs_input_grad[1]
        if ctx.rule == Rule.THROUGH and not wanted:
            return grad.to(ctx.given), *[None] * 6
        kept, value = ctx.saved_tensors
        scale = Scale(value, *ctx.scale)
        passes = native if ctx.native else in_torch
        given = kept if ctx.native else full_precision(kept)
        grad_x, sums = passes.gradient(grad, given, scale, ctx.lo, ctx.hi, ctx.rule)
        slope = sums if wanted else None
        if slope is not None and ctx.rule != Rule.PACT:
            slope = slope / math.sqrt(_sharing(kept, value, ctx.rule) * ctx.hi)
        return grad_x.to(ctx.given), slope, *[None] * 5


def quantized(x: torch.Tensor, scale: Scale, lo: int, hi: int) -> torch.Tensor:
    """Δ·q without a gradient, as float32, or as float64 where `x` is that."""
    if native.takes(x, scale.value):
        return native.quantize(x, scale, lo, hi)
    return in_torch.quantize(full_precision(x), scale, lo, hi)


def _sharing(x: torch.Tensor, value: torch.Tensor, rule: Rule) -> int:
    """How many weights, or activations of an image, share a step; at least 1."""
    parts = value.numel() if rule == Rule.THROUGH else x.shape[0] if x.dim() else 1
    return max(1, x.numel() // max(1, parts))


def full_precision(values: torch.Tensor) -> torch.Tensor:
    """As float32 where mixed precision gave less; anything else unchanged."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


class FusedIntQuant(IntQuant):
    """Drop-in for Brevitas' `IntQuant`, injected as `int_quant`; zero point 0 only."""

    def rule(self, *, after_relu: bool = False) -> Rule:
        """Of the gradient; `after_relu`: of the values before a ReLU in front."""
        if self.signed:
            return Rule.THROUGH
        return Rule.CLIP_AFTER_RELU if after_relu else Rule.CLIP

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
        lo, hi = int(self.min_int(bit_width)), int(self.max_int(bit_width))
        quantized: torch.Tensor = Quantize.apply(x, scale, 0.0, 1, lo, hi, self.rule())
        return quantized


class FusedClippedQuant(FusedIntQuant):
    """For signed activations: clipping stops the gradient, as for unsigned ones."""

    def rule(self, *, after_relu: bool = False) -> Rule:
        """As of unsigned activations."""
        return Rule.CLIP_AFTER_RELU if after_relu else Rule.CLIP


class FusedPactQuant(FusedIntQuant):
    """For activations whose clipping value has PACT's gradient."""

    def rule(self, *, after_relu: bool = False) -> Rule:
        """PACT's, which is the same with a ReLU in front of unsigned codes."""
        return Rule.PACT
