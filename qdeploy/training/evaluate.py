"""Accuracy of a network, and mean intersection over union."""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.training.batches import Batching, evaluation_batches
from qdeploy.training.objective import Score, Tally, tally
from qdeploy.training.workers import ALONE, Workers


def count(
    network: nn.Module, dataset: Dataset, batching: Batching, workers: Workers = ALONE
) -> Tally:
    """Tally of the test set, which all processes share.

    The network is evaluated in evaluation mode and left in the mode it was in.
    """
    was_training = network.training
    network.eval()
    counted = tally(dataset)
    try:
        with torch.no_grad():
            for inputs, labels in evaluation_batches(
                dataset, batching, workers.shard, workers.device
            ):
                counted.add(network(inputs), labels)
    finally:
        network.train(was_training)
    counted.counts.copy_(workers.add(counted.counts))
    return counted


def measure(
    network: nn.Module, dataset: Dataset, batching: Batching, workers: Workers = ALONE
) -> Score:
    """The score on the test set."""
    return count(network, dataset, batching, workers).score()
