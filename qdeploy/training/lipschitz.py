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


def weight_matrices(network: nn.Module) -> list[torch.Tensor]:
    """W_lᵀ of every layer in blocks, (groups, c_out / groups, k·k·c_in / groups); the order inside
    a row does not matter to WᵀW."""
    return [
        _blocks(module.weight, module.groups if isinstance(module, nn.Conv2d) else 1)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]


def lipschitz_term(network: nn.Module) -> torch.Tensor:
    """L_Lip as a scalar with gradient."""
    matrices = weight_matrices(network)
    total = torch.zeros((), device=matrices[0].device if matrices else None)
    for blocks in matrices:
        groups, outputs, inputs = blocks.shape
        gram = blocks @ blocks.mT if outputs <= inputs else blocks.mT @ blocks
        excess = gram - torch.eye(gram.shape[-1], device=gram.device)
        total = total + 0.5 * (excess.square().sum() + groups * max(0, outputs - inputs))
    return total


def _blocks(weight: torch.Tensor, groups: int) -> torch.Tensor:
    return weight.reshape(groups, weight.shape[0] // groups, -1)
