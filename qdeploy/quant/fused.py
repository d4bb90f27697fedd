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

from qdeploy.quant import native
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
        if ctx.native:
            if keeps:
                ctx.save_for_backward(x, value)
            return native.quantize(x, scale, lo, hi)
        step = _step(scale)
        t = full_precision(x) / step
        if not keeps:
            return t.round_().clamp_(lo, hi).mul_(step)
        ctx.save_for_backward(t, value)
        return t.round().clamp_(lo, hi).mul_(step)

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
        slope: torch.Tensor | None
        if ctx.native:
            grad_x, slope = native.gradient(grad, kept, scale, ctx.lo, ctx.hi, ctx.rule)
            slope = slope if wanted else None
        else:
            shape = value.shape if wanted else None
            grad_x, slope = _gradient(grad, kept, ctx.lo, ctx.hi, ctx.rule, shape)
            if slope is not None:
                slope = torch.where(value < 0, -slope, slope) / scale.levels
        if slope is not None and ctx.rule != Rule.PACT:
            slope = slope / math.sqrt(_sharing(kept, value, ctx.rule) * ctx.hi)
        return grad_x.to(ctx.given), slope, *[None] * 5


def _sharing(x: torch.Tensor, value: torch.Tensor, rule: Rule) -> int:
    """How many weights, or activations of an image, share a step; at least 1."""
    parts = value.numel() if rule == Rule.THROUGH else x.shape[0] if x.dim() else 1
    return max(1, x.numel() // max(1, parts))


def _step(scale: Scale) -> torch.Tensor:
    return scale.value.abs().clamp_(min=scale.smallest) / scale.levels


def _gradient(
    grad: torch.Tensor, t: torch.Tensor, lo: int, hi: int, rule: Rule, shape: torch.Size | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """In torch's operations of one pass: masks of numbers would be int64, four times the memory.

    Args:
        shape: of the step, or None where its gradient is not wanted.
    """
    if rule == Rule.PACT:
        stopped = torch.ops.aten.hardtanh_backward(grad, t, float(lo), float(hi))
        return stopped, None if shape is None else _of_clipped(grad, t, stopped, lo, hi, shape)
    r = t.round()
    # Codes are integers: those from lo to hi lie between the halves beside them.
    inner = torch.ops.aten.hardtanh_backward(grad, r, lo - 0.5, hi + 0.5)
    if rule == Rule.CLIP_AFTER_RELU:
        inner = torch.ops.aten.threshold_backward(inner, t, 0.0)
    stopped = grad if rule == Rule.THROUGH else inner
    if shape is None:
        return stopped, None
    outer = torch.sub(grad, inner).mul_(r.clamp(lo, hi))
    return stopped, _summed((r - t).mul_(inner).add_(outer), shape)


def _of_clipped(
    grad: torch.Tensor, t: torch.Tensor, stopped: torch.Tensor, lo: int, hi: int, shape: torch.Size
) -> torch.Tensor:
    """hi times the gradients where t >= hi, and lo times those where t <= lo."""
    below_hi = float(
        torch.nextafter(torch.tensor(float(hi), dtype=t.dtype), t.new_tensor(-math.inf))
    )
    above = torch.ops.aten.threshold_backward(grad, t, below_hi)
    if lo == 0:
        return _summed(above, shape) * hi
    return _summed(above, shape) * hi + _summed(grad - stopped - above, shape) * lo


def _summed(values: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    return values.sum() if len(shape) == 0 else values.sum_to_size(shape)


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
