"""Batch norms of several networks side by side, in C (`kernels/norm.c`, which has the algebra)."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from qdeploy.quant import native


class Normalize(torch.autograd.Function):
    """Batch norm in training, with a ReLU behind it where that is wanted.

    Arguments of `apply`: x (networks, rows, units), gain and offset (networks, units), eps, relu.
    The results are y, and of each unit mean and variance (biased), which have no gradient. All are
    float32 on the CPU; there have to be kernels (`native.missing`).
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, gain: torch.Tensor, offset: torch.Tensor, eps: float, relu: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """y, mean and variance."""
        x = x.contiguous()
        networks, rows, units = x.shape
        y = torch.empty_like(x)
        mean, var, inverse, scale, shift = torch.empty(5, networks, units).unbind()
        sums = torch.empty(2 * networks * units, dtype=torch.float64)
        native.function("norm", x.dtype)(
            *(x.data_ptr(), y.data_ptr(), networks, rows, units),
            *(gain.data_ptr(), offset.data_ptr(), eps, int(relu), mean.data_ptr()),
            *(var.data_ptr(), inverse.data_ptr(), scale.data_ptr(), shift.data_ptr()),
            *(sums.data_ptr(), torch.get_num_threads()),
        )
        ctx.save_for_backward(x, mean, inverse, scale, shift)
        ctx.relu = relu
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of x, gain and offset."""
        x, mean, inverse, scale, shift = ctx.saved_tensors
        grad = grads[0].contiguous()
        networks, rows, units = x.shape
        out, gain, offset = torch.empty_like(x), torch.empty_like(mean), torch.empty_like(mean)
        sums = torch.empty(2 * networks * units, dtype=torch.float64)
        native.function("norm_gradient", x.dtype)(
            *(grad.data_ptr(), x.data_ptr(), out.data_ptr(), networks, rows, units),
            *(int(ctx.relu), mean.data_ptr(), inverse.data_ptr(), scale.data_ptr()),
            *(shift.data_ptr(), gain.data_ptr(), offset.data_ptr()),
            *(sums.data_ptr(), torch.get_num_threads()),
        )
        return out, gain, offset, None, None


def affine(
    x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, *, relu: bool
) -> torch.Tensor:
    """x · scale + shift without a gradient, x (networks, rows, units), the others (networks,
    units): a batch norm outside of training, with a ReLU where that is wanted."""
    x, scale, shift = x.contiguous(), scale.contiguous(), shift.contiguous()
    y = torch.empty_like(x)
    native.function("affine", x.dtype)(
        *(x.data_ptr(), y.data_ptr(), *x.shape, scale.data_ptr(), shift.data_ptr()),
        *(int(relu), torch.get_num_threads()),
    )
    return y
