"""Activations with learned thresholds and uniform codes (N2UQ, Liu et al. 2022, section 3).

    q = #{k : x >= T_k},   y = Δ·q                    k = 1 … K,   K = 2^b - 1

The line of values is cut into segments of learned lengths a_k > 0, one for each code above 0, from
a learned start d_0 on. A code begins in the middle of its segment:

    d_k = d_0 + a_1 + … + a_k,      T_k = d_{k-1} + a_k / 2

so thresholds ascend whatever is learned. The generalized straight-through estimator takes the
gradient of what the code is in the mean if it is drawn at random between two neighbours, in
segment k with the probability (x - d_{k-1}) / a_k for the upper one:

    f(x) = Δ·(k - 1 + (x - d_{k-1}) / a_k)            d_{k-1} <= x < d_k; 0 below, Δ·K above

    dy/dx   =  Δ / a_k                                in segment k, 0 beyond all of them
    dy/dd_0 = -Δ / a_k                                in segment k
    dy/da_j = -Δ / a_k                                in segments k > j
            = -Δ·(x - d_{j-1}) / a_j²                 in segment j
    dy/dΔ   =  q

With equal lengths, Δ itself, these are uniform codes and the usual estimator. The gradients of Δ,
d_0 and a_j are sums over all activations of a layer and are scaled by 1 / sqrt(N·K) as LSQ's are
(`fused`). There is no ReLU: thresholds may lie below 0.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from brevitas.core.quant.int_base import IntQuant
from torch import nn
from torch.autograd.function import once_differentiable

from qdeploy.quant import native, native_thresholds
from qdeploy.quant.fused import full_precision

# Of the first lengths: the gradient of a value in a segment grows as it becomes shorter.
LEAST_SHARE = 1e-3


class Segments(nn.Module):
    """The segments of a quantizer.

    Args:
        count: K, one for each code above 0.
    """

    start: nn.Parameter
    lengths: nn.Parameter
    least: torch.Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.tensor(0.0))
        self.lengths = nn.Parameter(torch.ones(count))
        self.register_buffer("least", torch.tensor(LEAST_SHARE))

    def set_uniform(self, step: torch.Tensor) -> None:
        """Begin with the codes of a uniform quantizer of step Δ, one positive element."""
        with torch.no_grad():
            self.start.zero_()
            self.lengths.copy_(step.reshape(()).expand_as(self.lengths))
            self.least.copy_(step.reshape(()) * LEAST_SHARE)

    def thresholds(self) -> torch.Tensor:
        """T_1 … T_K, ascending, in the type of the parameters."""
        return edges_of(self.start, self.lengths, self.least)[0]


def edges_of(
    start: torch.Tensor, lengths: torch.Tensor, least: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Thresholds (K,), ends of the segments (K + 1,) and their lengths (K,).

    Computed in float64 and rounded once, which keeps their order.
    """
    exact = _positive(lengths.detach(), least).double()
    ends = torch.cat([start.detach().double().reshape(1), exact]).cumsum(0)
    thresholds = ends[:-1] + exact / 2
    return thresholds.to(lengths.dtype), ends.to(lengths.dtype), exact.to(lengths.dtype)


class CountThresholds(torch.autograd.Function):
    """Steps of max(|value|, smallest) / levels, times the number of thresholds that `x` reaches.

    Arguments of `apply`: x, value, smallest, levels, and start, lengths and least of `Segments`.
    The gradients of `value` and `lengths` pass the maximum, as those of Brevitas' scales do.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        value: torch.Tensor,
        smallest: float,
        levels: int,
        start: torch.Tensor,
        lengths: torch.Tensor,
        least: torch.Tensor,
    ) -> torch.Tensor:
        """Δ·q as float32, or as float64 where `x` is that."""
        ctx.save_for_backward(x, value, lengths)
        step = value.detach().abs().clamp_(min=smallest) / levels
        edges = edges_of(start, lengths, least)
        thresholds, ctx.levels, ctx.step, ctx.edges = edges[0], levels, step, edges
        if native.takes_values(x) and thresholds.dtype == torch.float32:
            return native_thresholds.count(x, thresholds, step.item())
        x = full_precision(x)
        counts, one = torch.zeros_like(x), torch.empty_like(x)
        for edge in thresholds:
            counts += torch.ge(x, edge, out=one)
        return torch.where(x.isnan(), x, counts.mul_(step))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of `x`, `value`, `start` and `lengths`."""
        x, value, lengths = ctx.saved_tensors
        thresholds, ends, exact = ctx.edges
        grad = full_precision(grads[0])
        slopes = ctx.step.reshape(()) / exact
        if native.takes_values(x) and thresholds.dtype == torch.float32:
            grad_x, sums = native_thresholds.gradient(grad, x, thresholds, ends, slopes)
        else:
            grad_x, sums = _gradient(grad, full_precision(x), thresholds, ends, slopes)
        count = len(thresholds)
        slopes, exact = slopes.double(), exact.double()
        inside = sums[:count] * slopes
        beyond = inside.flip(0).cumsum(0).flip(0) - inside  # over the segments after each
        own = sums[count : 2 * count] * slopes / exact
        share = 1.0 / math.sqrt(max(1, x.numel() // max(1, _images(x))) * count)
        of_lengths = -(beyond + own) * lengths.sign() * share
        of_value = sums[2 * count].reshape(value.shape) * value.sign() / ctx.levels * share
        return (
            grad_x.to(x.dtype),
            of_value.to(value.dtype),
            None,
            None,
            (-inside.sum() * share).to(lengths.dtype),
            of_lengths.to(lengths.dtype),
            None,
        )


def _gradient(
    grad: torch.Tensor,
    x: torch.Tensor,
    thresholds: torch.Tensor,
    ends: torch.Tensor,
    slopes: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As the kernels have it, in torch's operations, none of which waits for the device."""
    grad_x, nothing = torch.zeros_like(grad), grad.new_zeros(())
    inside, far, codes = [], [], []
    reached, bounded = x >= ends[0], x.clamp(ends[0], ends[-1])  # 0 · infinity is no number
    for k, (slope, edge) in enumerate(zip(slopes, thresholds, strict=True)):
        beyond = x >= ends[k + 1]
        inner = torch.where(reached ^ beyond, grad, nothing)
        grad_x.addcmul_(inner, slope)
        inside.append(inner.sum())
        far.append(inner.mul_(bounded - ends[k]).sum())
        codes.append(torch.where(x >= edge, grad, nothing).sum())
        reached = beyond
    return grad_x, torch.stack([*inside, *far, torch.stack(codes).sum()]).double()


class ThresholdQuant(IntQuant):
    """In the place of Brevitas' `IntQuant`, injected as `int_quant`: learned thresholds.

    Args:
        bit_width: of the codes, 1 … 4.
    """

    def __init__(
        self, narrow_range: bool, signed: bool, input_view_impl: nn.Module, bit_width: int
    ) -> None:
        super().__init__(narrow_range, signed, input_view_impl)
        self.segments = Segments((1 << bit_width) - 1)

    def forward(
        self,
        scale: torch.Tensor,
        zero_point: torch.Tensor,
        bit_width: torch.Tensor,
        x: torch.Tensor,
    ) -> torch.Tensor:
        """`x` quantized: `scale` times the number of thresholds it reaches."""
        quantized: torch.Tensor = self.with_step(x, scale, 0.0, 1)
        return quantized

    def with_step(
        self, x: torch.Tensor, value: torch.Tensor, smallest: float, levels: int
    ) -> torch.Tensor:
        """The same with a step as `CountThresholds` takes it."""
        own = self.segments
        quantized: torch.Tensor = CountThresholds.apply(
            x, value, smallest, levels, own.start, own.lengths, own.least
        )
        return quantized

    def unrounded(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """f(x): what the estimator takes for the quantizer; no gradient."""
        own = self.segments
        _, ends, lengths = edges_of(own.start, own.lengths, own.least)
        pairs = zip(ends[:-1], lengths, strict=True)
        parts = [((x - low) / length).clamp(0, 1) for low, length in pairs]
        return torch.stack(parts).sum(0) * scale


def learned_segments(network: nn.Module) -> list[Segments]:
    """All of a network's."""
    return [module for module in network.modules() if isinstance(module, Segments)]


def _positive(lengths: torch.Tensor, least: torch.Tensor) -> torch.Tensor:
    return torch.maximum(lengths.abs(), least)


def _images(x: torch.Tensor) -> int:
    return x.shape[0] if x.dim() else 1
