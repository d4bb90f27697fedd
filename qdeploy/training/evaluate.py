"""Accuracy of a network."""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import prepared

BATCH = 500


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
