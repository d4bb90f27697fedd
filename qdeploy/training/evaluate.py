"""Accuracy of a network, and mean intersection over union."""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import evaluation_batches, prepared
from qdeploy.training.objective import Tally, tally
from qdeploy.training.workers import Workers

BATCH = 500
ALONE = Workers()


def accuracy(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor, recipe: Recipe
) -> float:
    """Share of raw `images`, uint8 (N, C, H, W), whose largest logit is at the label, in [0, 1].

    The network is evaluated in evaluation mode and left in the mode it was in.
    """
    was_training = network.training
    network.eval()
    correct = 0
    try:
        with torch.no_grad():
            for start in range(0, len(labels), BATCH):
                logits = network(prepared(images[start : start + BATCH], recipe))
                correct += int((logits.argmax(1) == labels[start : start + BATCH]).sum())
    finally:
        network.train(was_training)
    return correct / len(labels)


def count(network: nn.Module, dataset: Dataset, recipe: Recipe, workers: Workers = ALONE) -> Tally:
    """Tally of the test set, which all processes share.

    The network is evaluated in evaluation mode and left in the mode it was in.
    """
    was_training = network.training
    network.eval()
    counted = tally(dataset)
    try:
        with torch.no_grad():
            for inputs, labels in evaluation_batches(
                dataset, recipe, workers.shard, workers.device
            ):
                counted.add(network(inputs), labels)
    finally:
        network.train(was_training)
    counted.counts.copy_(workers.add(counted.counts))
    return counted


def measure(
    network: nn.Module, dataset: Dataset, recipe: Recipe, workers: Workers = ALONE
) -> dict[str, float]:
    """`accuracy` on the test set and, for segmentation, `miou`, both in [0, 1]; accuracy then is
    that of pixels."""
    return count(network, dataset, recipe, workers).metrics()
