"""Traces of Hessians by Hutchinson's method.

    Tr(H) = E[vᵀ·H·v]        v of independent elements, -1 or +1 with equal chance

H·v is the gradient of gᵀ·v, with the gradient g of the loss: H is never formed (Hutchinson 1990;
Avron and Toledo 2011). With a diagonal H every draw gives the trace exactly.

Each tensor has a product of its own. One for all of them together would serve in the mean as well,
v_iᵀ·(H·v)_i = v_iᵀ·H_ii·v_i + Σ_{j≠i} v_iᵀ·H_ij·v_j, but the blocks H_ij of large layers drown the
traces of small ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch


def hessian_traces(
    loss: torch.Tensor,
    tensors: Sequence[torch.Tensor],
    probes: int,
    generator: torch.Generator,
    advance: Callable[[], object] = lambda: None,
) -> list[float]:
    """The trace of the Hessian of `loss` by each tensor, an estimate.

    Args:
        loss: one element, computed from `tensors` with gradients.
        tensors: parameters, or values inside the network.
        probes: draws of v.
        generator: of v, on the CPU.
        advance: called after each draw.
    """
    gradients = torch.autograd.grad(loss, tensors, create_graph=True)
    totals = [0.0] * len(tensors)
    for _ in range(probes):
        for index, (gradient, tensor) in enumerate(zip(gradients, tensors, strict=True)):
            v = _signs(tensor, generator)
            (product,) = torch.autograd.grad(
                gradient, tensor, v, retain_graph=True, materialize_grads=True
            )
            totals[index] += float((v.double() * product.double()).sum())
        advance()
    return [total / probes for total in totals]


def _signs(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    drawn = torch.randint(0, 2, tensor.shape, generator=generator)
    return (2 * drawn - 1).to(tensor.dtype).to(tensor.device)
