"""Accuracy of a network, and mean intersection over union, on images that it is not trained on."""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.data.dataset import Dataset, Split
from qdeploy.training.batches import Batching, evaluation_batches
from qdeploy.training.modes import set_mode
from qdeploy.training.objective import Score, Tally, tally
from qdeploy.training.workers import ALONE, Workers


def count(
    network: nn.Module,
    dataset: Dataset,
    batching: Batching,
    workers: Workers = ALONE,
    split: Split | None = None,
) -> Tally:
    """Tally of a `split` of the data set, by default the test set, which all processes share.

    The network is evaluated in evaluation mode and left in the mode it was in.
    """
    was_training = network.training
    set_mode(network, training=False)
    counted = tally(dataset)
    try:
        with torch.no_grad():
            for inputs, labels in evaluation_batches(
                dataset, batching, workers.shard, workers.device, split=split
            ):
                counted.add(network(inputs), labels)
    finally:
        set_mode(network, training=was_training)
    counted.counts.copy_(workers.add(counted.counts))
    return counted


def measure(
    network: nn.Module,
    dataset: Dataset,
    batching: Batching,
    workers: Workers = ALONE,
    split: Split | None = None,
) -> Score:
    """The score on a split, by default the test set."""
    return count(network, dataset, batching, workers, split).score()
