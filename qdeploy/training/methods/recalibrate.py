"""Recalibration of batch norm's statistics, since quantization changes the input of a norm.

Means and variances become the averages over batches, each batch with the same weight, of the
network as it is; nothing else changes. Directly quantized networks gain most, and those whose
weights still jump between codes, which moving averages lag behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.training.batches import Batching, steps_per_epoch, training_batches
from qdeploy.training.methods.method import Method
from qdeploy.training.workers import Workers


class Recalibration(Method):
    """Recomputes the statistics at the end of a phase.

    Args:
        network: changed in place.
        batches: gives the network's inputs.
    """

    def __init__(self, network: nn.Module, batches: Callable[[], Iterable[torch.Tensor]]) -> None:
        self._network, self._batches = network, batches

    def settle(self) -> None:
        recalibrate(self._network, self._batches())


def recalibration_batches(
    dataset: Dataset, batching: Batching, place: tuple[int, int], images: int, workers: Workers
) -> Iterator[torch.Tensor]:
    """Network inputs of about so many training `images`, in whole batches of all processes, and of
    each what goes through the network at once.

    Args:
        batching: without what a phase adds to it: images are whole.
        place: number of a phase and an epoch, which decide the images.
    """
    wanted = min(images, len(dataset.train))
    batches = training_batches(dataset, batching, *place, workers.shard, device=workers.device)
    for inputs, _ in islice(batches, steps_per_epoch(wanted, batching.batch_size)):
        yield from inputs.chunk(batching.parts)


def recalibrate(network: nn.Module, batches: Iterable[torch.Tensor]) -> int:
    """Replace the running statistics of every batch norm of `network`, in place.

    Args:
        network: left in the mode it was in.
        batches: network inputs (N, C, H, W); not read where there is no batch norm.

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
            for batch in batches if norms else ():
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
