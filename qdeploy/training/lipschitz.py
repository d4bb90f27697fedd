"""The term that limits the amplification of activation noise, eq. (8) of Boo et al. 2020.

    L_Lip = 1/2 · Σ_l ||W_lᵀ W_l - I||²

over all convolution and fully connected layers; the norm is the Frobenius norm, and kernels are
reshaped to (k·k·c_in, c_out), so that I has c_out rows. W_l is the float weight that retraining
updates: the paper distinguishes it from its quantized version W^q (eq. (2) to (4)), and eq. (8)
has W.

A grouped convolution, depthwise ones included, counts as the equivalent convolution without groups:
W_l has zeros where a group does not look, WᵀW is zero between groups, and the term is the sum over
the groups.

The non-zero eigenvalues of WᵀW and WWᵀ are the same. Where c_out is larger than the fan-in n, the
smaller matrix gives the same value up to a constant, 1 per missing zero eigenvalue:

    ||WᵀW - I||² = ||WWᵀ - I||² + (c_out - n)
"""

from __future__ import annotations

import torch
from torch import nn


def weight_matrices(network: nn.Module) -> dict[str, torch.Tensor]:
    """W_lᵀ of every layer by its name, in blocks, (groups, c_out / groups, k·k·c_in / groups); the
    order inside a row does not matter to WᵀW."""
    return {
        name: _blocks(module.weight, module.groups if isinstance(module, nn.Conv2d) else 1)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def lipschitz_term(network: nn.Module, *, inner: bool = False) -> torch.Tensor:
    """L_Lip as a scalar with gradient.

    Args:
        inner: leave out the first and the last layer.
    """
    matrices = list(weight_matrices(network).values())
    device = matrices[0].device if matrices else None
    total = torch.zeros((), device=device)
    for blocks in matrices[1:-1] if inner else matrices:
        total = total + _term(blocks)
    return total


def lipschitz_by_layer(network: nn.Module) -> dict[str, float]:
    """What each layer adds to L_Lip, by its name, in the order of the network."""
    with torch.no_grad():
        return {name: _term(blocks).item() for name, blocks in weight_matrices(network).items()}


def gradient_share(network: nn.Module, factor: float, *, inner: bool = False) -> float:
    """Norm of the gradient of `factor`·L_Lip, relative to that of all gradients that the parameters
    have now; 0 where they have none.
    """
    named = [p for p in network.parameters() if p.requires_grad]
    whole = torch.nn.utils.get_total_norm([p.grad for p in named if p.grad is not None])
    term = lipschitz_term(network, inner=inner)
    if not term.requires_grad or not float(whole) > 0:
        return 0.0
    own = torch.autograd.grad(term, named, allow_unused=True)
    norm = torch.nn.utils.get_total_norm([one for one in own if one is not None])
    return factor * float(norm) / float(whole)


def _term(blocks: torch.Tensor) -> torch.Tensor:
    groups, outputs, inputs = blocks.shape
    gram = blocks @ blocks.mT if outputs <= inputs else blocks.mT @ blocks
    excess = gram - torch.eye(gram.shape[-1], device=gram.device)
    return 0.5 * (excess.square().sum() + groups * max(0, outputs - inputs))


def _blocks(weight: torch.Tensor, groups: int) -> torch.Tensor:
    return weight.reshape(groups, weight.shape[0] // groups, -1)
