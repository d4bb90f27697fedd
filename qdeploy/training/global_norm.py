"""Batch norm over the batch of all processes.

torch's own SyncBatchNorm runs on GPUs only. With means m_r and variances v_r of equal shares, the
batch of all R processes has (Chan et al. 1979)

    mean = 1/R · Σ m_r,     var = 1/R · Σ (v_r + (m_r - mean)²)

and the gradient of x needs the sums of dy and dy·x̂ over all shares:

    dx = γ / √(var + ε) · (dy - mean(dy) - x̂ · mean(dy · x̂))

The gradients of γ and β are those of this process's share; they are averaged over all processes
with the other gradients.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn


class _Normalize(torch.autograd.Function):
    # torch's own passes, each over the whole map once: written as sums and products of maps, the
    # same took longer than the convolutions between.
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, gain: torch.Tensor, offset: torch.Tensor, eps: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        own = torch.stack(torch.batch_norm_update_stats(x, None, None, 0.0))
        shares = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(shares, own)
        means, variances = torch.stack(shares, dim=1)
        mean = means.mean(0)
        var = (variances + (means - mean).square()).mean(0)
        ctx.save_for_backward(x, gain, mean, var)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, var)
        return _affine(x, gain, offset, mean, var, eps), mean, var

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, gain, mean, var = ctx.saved_tensors
        # With statistics that are taken as given: γ / √(var + ε) · dy, Σ dy · x̂, Σ dy.
        grad_x, grad_gain, grad_offset = torch.ops.aten.native_batch_norm_backward(
            grads[0], x, gain, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([grad_gain, grad_offset])
        dist.all_reduce(sums)
        count = x.numel() // x.shape[1] * dist.get_world_size()
        factor, term = -gain * torch.rsqrt(var + ctx.eps) / count * sums
        grad_x += _affine(x, factor, term, mean, var, ctx.eps)
        return grad_x, grad_gain, grad_offset, None


def _affine(
    x: torch.Tensor,
    gain: torch.Tensor,
    offset: torch.Tensor,
    mean: torch.Tensor,
    var: torch.Tensor,
    eps: float,
) -> torch.Tensor:
    """x̂ · gain + offset, one pass."""
    normal: torch.Tensor = torch.ops.aten.native_batch_norm(
        x, gain, offset, mean, var, False, 0.0, eps
    )[0]
    return normal


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm for (N, C) or (N, C, H, W); all processes must call it with equal shapes."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalized input, of its shape and type."""
        if not self.training:
            return super().forward(input)
        assert self.weight is not None and self.bias is not None
        # bfloat16 has 8 significant bits, too few for statistics.
        full = input.float() if input.dtype == torch.bfloat16 else input
        y, mean, var = _Normalize.apply(full, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self._follow(mean, var, input.numel() // input.shape[1] * dist.get_world_size())
        normalized: torch.Tensor = y.to(input.dtype)
        return normalized

    def _follow(self, mean: torch.Tensor, var: torch.Tensor, count: int) -> None:
        """Update the running statistics as torch does."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var * (count / max(1, count - 1)), share)

    def _check_input_dim(self, input: torch.Tensor) -> None:
        return


def share_statistics(network: nn.Module) -> nn.Module:
    """Replace every batch norm of `network`, in place; parameters and buffers stay the same."""
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                shared = GlobalBatchNorm(norm.num_features, norm.eps, norm.momentum)
                shared._parameters, shared._buffers = norm._parameters, norm._buffers
                shared.train(norm.training)
                setattr(parent, name, shared)
    return network
