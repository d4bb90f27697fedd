"""The quantizer's two passes in torch's operations, for machines without a compiler and for GPUs.

The operations are many and each is short, so that on a CPU they take turns on pieces of the tensor
that stay in the processor's cache. Masks of numbers would be int64, four times the memory.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import torch

from qdeploy.quant.native import Rule, Scale

PIECE = 1 << 17  # elements: four pieces of float32 fit into a cache of 2 MiB
_PIECEWISE_FROM = 4 * PIECE


def quantize(x: torch.Tensor, scale: Scale, lo: int, hi: int) -> torch.Tensor:
    """Δ·clip(round(x / Δ), lo, hi), in the type and the memory format of `x`.

    Args:
        scale: its value broadcasts against `x`.
    """
    step = _step(scale)
    if not _in_pieces(x, step):
        return (x / step).round_().clamp_(lo, hi).mul_(step)
    y = torch.empty_like(x)
    for given, made in zip(_pieces(x), _pieces(y), strict=True):
        torch.div(given, step, out=made)
        made.round_().clamp_(lo, hi).mul_(step)
    return y


def gradient(
    grad: torch.Tensor, x: torch.Tensor, scale: Scale, lo: int, hi: int, rule: Rule
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of `x` and of the value, in its shape.

    Args:
        grad: of the quantized values, in the type of `x`.
        rule: with `THROUGH` the gradient of `x` is `grad` itself.
    """
    step, shape = _step(scale), scale.value.shape
    if _in_pieces(x, step):
        if grad.stride() != x.stride():
            grad = torch.empty_like(x).copy_(grad)
        out = grad if rule == Rule.THROUGH else torch.empty_like(x)
        sums = [
            _gradient(from_above, given / step, lo, hi, rule, made).sum(dtype=torch.float64)
            for from_above, given, made in zip(_pieces(grad), _pieces(x), _pieces(out), strict=True)
        ]
        slope = torch.stack(sums).sum().to(x.dtype).reshape(shape)
    else:
        out = grad if rule == Rule.THROUGH else torch.empty_like(grad)
        terms = _gradient(grad, x / step, lo, hi, rule, out)
        # Millions of terms may cancel.
        wide = terms.to(torch.float64)
        slope = wide.sum().reshape(shape) if step.numel() == 1 else wide.sum_to_size(shape)
        slope = slope.to(x.dtype)
    return out, torch.where(scale.value < 0, -slope, slope) / scale.levels


def _step(scale: Scale) -> torch.Tensor:
    return scale.value.abs().clamp_(min=scale.smallest) / scale.levels


def _gradient(
    grad: torch.Tensor, t: torch.Tensor, lo: int, hi: int, rule: Rule, out: torch.Tensor
) -> torch.Tensor:
    """Each value's share in the gradient of the step; that of the values goes to `out`, unless it
    is `grad`. `t` is used up."""
    aten = torch.ops.aten
    if rule == Rule.PACT:
        aten.hardtanh_backward(grad, t, float(lo), float(hi), grad_input=out)
        if lo == 0:
            below_hi = math.nextafter(hi, 0) if t.dtype == torch.float64 else _float32_below(hi)
            return aten.threshold_backward(grad, t, below_hi, grad_input=t).mul_(hi)
        return t.clamp_(lo, hi).mul_(torch.sub(grad, out))
    r = t.round()
    # Codes are integers: those from lo to hi lie between the halves beside them.
    inner = torch.empty_like(grad) if rule == Rule.THROUGH else out
    aten.hardtanh_backward(grad, r, lo - 0.5, hi + 0.5, grad_input=inner)
    if rule == Rule.CLIP_AFTER_RELU:
        aten.threshold_backward(inner, t, 0.0, grad_input=inner)
    shares = torch.sub(r, t, out=t).mul_(inner)
    return shares.add_(r.clamp_(lo, hi).mul_(torch.sub(grad, inner)))


@functools.cache
def _float32_below(number: int) -> float:
    """The next float32 below a positive number."""
    value = torch.tensor(float(number), dtype=torch.float32)
    return float(torch.nextafter(value, torch.zeros(())))


def _in_pieces(x: torch.Tensor, step: torch.Tensor) -> bool:
    """Whether pieces of `x` are worth it, and may be cut out without a copy."""
    dense = x.is_contiguous() or (
        x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    )
    return x.device.type == "cpu" and step.numel() == 1 and dense and x.numel() >= _PIECEWISE_FROM


def _pieces(values: torch.Tensor) -> Iterator[torch.Tensor]:
    """In the order of memory."""
    yield from values.as_strided((values.numel(),), (1,)).split(PIECE)
