"""Spectral norms: the Lipschitz constants of the layers' matrices, which L_Lip pulls towards 1.

A kernel counts as the matrix (k·k·c_in, c_out) of eq. (8) in Boo et al. 2020; with groups it has a
block per group, and its norm is the largest norm of a block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from qdeploy.training.analysis.trace import WeightLayer


def spectral_norm(weight: torch.Tensor, groups: int = 1) -> float:
    """Largest singular value of a weight (c_out, c_in / groups, ...)."""
    blocks = weight.detach().double().reshape(groups, weight.shape[0] // groups, -1)
    gram = blocks @ blocks.mT if blocks.shape[1] <= blocks.shape[2] else blocks.mT @ blocks
    return float(torch.linalg.eigvalsh(gram)[:, -1].max().clamp_min(0).sqrt())


def layer_norms(layer: WeightLayer) -> tuple[float, float, float]:
    """Spectral norms of a layer's float weight, of its quantized weight, and of the quantized
    weight with the gains γ / √(σ² + ε) of the batch norm after it (without one, as the second)."""
    groups = layer.layer.groups if isinstance(layer.layer, nn.Conv2d) else 1
    quantized = layer.quantized_weight()
    of_quantized = spectral_norm(quantized, groups)
    of_both = of_quantized
    if layer.norm is not None:
        of_both = spectral_norm(quantized.flatten(1) * _gain(layer.norm)[:, None], groups)
    return spectral_norm(layer.layer.weight, groups), of_quantized, of_both


def _gain(norm: Any) -> torch.Tensor:
    gain: torch.Tensor = norm.weight / (norm.running_var + norm.eps).sqrt()
    return gain.detach()
