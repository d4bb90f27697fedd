"""Recalibration of batch norm's statistics, since quantization changes the input of a norm.

Means and variances become the averages over batches, each batch with the same weight, of the
network as it is; nothing else changes. Directly quantized networks gain most.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def recalibrate(network: nn.Module, batches: Iterable[torch.Tensor]) -> int:
    """Replace the running statistics of every batch norm of `network`, in place.

    Args:
        network: left in the mode it was in.
        batches: network inputs (N, C, H, W).

    Returns:
        The number of images; with 0 the statistics stay as they were.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [norm.momentum for norm in norms]
    was_training = network.training
    network.train()
    images = 0
    try:
        with torch.no_grad():
            for batch in batches:
                if images == 0:
                    for norm in norms:
                        norm.reset_running_stats()
                        norm.momentum = None  # the average of all batches
                network(batch)
                images += len(batch)
    finally:
        for norm, momentum in zip(norms, kept, strict=True):
            norm.momentum = momentum
        network.train(was_training)
    return images
