"""Weights whose levels are powers of two, or sums of them (APoT, Li, Dong and Wang 2020).

Levels are integers, multiples of the smallest one, which is the step Δ:

    bits   power_of_two               apot
    3      0 ±1 ±2 ±4                 0 ±1 ±2 ±4
    4      0 ±1 ±2 ±4 … ±64           0 ±1 ±2 ±3 ±4 ±6 ±8 ±10
    5                                 0 ±1 ±2 ±3 ±4 ±6 ±8 ±9 ±12 ±16 ±18 ±24 ±32 ±33 ±36 ±48

With b bits there are 2^b - 1, as many as of symmetric uniform weights; APoT's are the sums of two
or three numbers that are 0 or one of up to three powers of two each (section 2.2; for 4 and 5 bits
as in the authors' program). In files and hardware they are integers of a wider uniform grid.

    t = x / Δ,   q = the nearest level, the smaller one of two,   y = Δ·q

    dy/dx = 1                                      as of uniform weights, eq. (4) of Boo et al. 2020
    dy/dΔ = q - t where |t| is within the levels, else q; with LSQ's factor (`fused`)
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from brevitas.core.quant.int_base import IntQuant
from torch import nn
from torch.autograd.function import once_differentiable

from qdeploy.recipe.quantization_rules import LEVEL_BITS

# The terms of a magnitude, without 0: each level is one of each row, or 0, added up.
_APOT_TERMS = {3: ((4, 2, 1),), 4: ((8, 4, 1), (2,)), 5: ((32, 8, 2), (16, 4, 1))}


def magnitudes(kind: str, bits: int) -> tuple[int, ...]:
    """The levels from 0 up, as multiples of the smallest.

    Args:
        kind, bits: as in `LEVEL_BITS`.
    """
    assert bits in LEVEL_BITS[kind]
    if kind == "power_of_two":
        return (0, *(1 << i for i in range((1 << (bits - 1)) - 1)))
    choices = itertools.product(*((0, *terms) for terms in _APOT_TERMS[bits]))
    return tuple(sorted({sum(choice) for choice in choices}))


def grid_bits(kind: str, bits: int) -> int:
    """Width of the symmetric uniform grid that holds the levels."""
    return magnitudes(kind, bits)[-1].bit_length() + 1


def nearest(t: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """The nearest level of either sign, in the type of `t`.

    Args:
        levels: magnitudes, ascending from 0, in the type of `t`.
    """
    size, found = t.abs(), torch.zeros_like(t)
    # One after the other: a search would not keep the format in memory.
    for low, high in itertools.pairwise(levels):
        found = torch.where(size > (low + high) / 2, high, found)
    return found * t.sign()


class QuantizeLevels(torch.autograd.Function):
    """`x` quantized with steps of max(|value|, smallest) / divisor.

    Arguments of `apply`: x, value, smallest, divisor, levels as `nearest` takes them. The gradient
    of `value` passes the maximum, as in Brevitas.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        value: torch.Tensor,
        smallest: float,
        divisor: int,
        levels: torch.Tensor,
    ) -> torch.Tensor:
        """Δ·q."""
        step = value.abs().clamp_(min=smallest) / divisor
        t = x / step
        q = nearest(t, levels.to(t.dtype))
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(t, q, value)
            ctx.highest, ctx.divisor = float(levels[-1]), divisor
        return q * step

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of `x` and `value`."""
        (grad,) = grads
        if not ctx.needs_input_grad[1]:
            return grad, *[None] * 4
        t, q, value = ctx.saved_tensors
        slope = (torch.where(t.abs() <= ctx.highest, q - t, q) * grad).sum_to_size(value.shape)
        sharing = max(1, t.numel() // max(1, value.numel()))
        share = 1.0 / (ctx.divisor * math.sqrt(sharing * ctx.highest))
        return grad, slope * value.sign() * share, *[None] * 3


class LevelQuant(IntQuant):
    """In the place of Brevitas' `IntQuant`, injected as `int_quant`: the levels above.

    Args:
        level_kind, level_bits: the levels; Brevitas' own width is that of the grid.
    """

    levels: torch.Tensor

    def __init__(
        self,
        narrow_range: bool,
        signed: bool,
        input_view_impl: nn.Module,
        level_kind: str,
        level_bits: int,
    ) -> None:
        super().__init__(narrow_range, signed, input_view_impl)
        self.code_bits = level_bits
        levels = torch.tensor(magnitudes(level_kind, level_bits), dtype=torch.float32)
        self.register_buffer("levels", levels, persistent=False)

    def min_int(self, bit_width: torch.Tensor) -> torch.Tensor:
        """The lowest level."""
        return -self.levels[-1]

    def max_int(self, bit_width: torch.Tensor) -> torch.Tensor:
        """The highest level."""
        return self.levels[-1]

    def forward(
        self,
        scale: torch.Tensor,
        zero_point: torch.Tensor,
        bit_width: torch.Tensor,
        x: torch.Tensor,
    ) -> torch.Tensor:
        """`x` quantized, in the units of `x`."""
        return self.with_step(x, scale, 0.0, 1)

    def with_step(
        self, x: torch.Tensor, value: torch.Tensor, smallest: float, divisor: int
    ) -> torch.Tensor:
        """The same with a step as `QuantizeLevels` takes it."""
        quantized: torch.Tensor = QuantizeLevels.apply(x, value, smallest, divisor, self.levels)
        return quantized

    def codes(self, t: torch.Tensor) -> torch.Tensor:
        """Of values in units of the step."""
        return nearest(t, self.levels.to(t))
