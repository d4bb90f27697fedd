"""Phases that train nothing: direct quantization and recalibration, each with its row of metrics.

They write no checkpoint: a resumed run does them again, which takes seconds.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import Any

import torch
from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import steps_per_epoch, training_batches
from qdeploy.training.evaluate import ALONE, measure
from qdeploy.training.lipschitz import lipschitz_term
from qdeploy.training.objective import tally, task_loss
from qdeploy.training.quantize import calibration_images
from qdeploy.training.recalibrate import recalibrate
from qdeploy.training.workers import Workers


def run_step(
    recipe: Recipe, index: int, network: nn.Module, dataset: Dataset, workers: Workers = ALONE
) -> dict[str, Any]:
    """Do phase `index`, of the kind direct or recalibrate, on the quantized `network`.

    Returns:
        The phase's row: metrics of the test set; loss and metrics of the training images that
        scales were chosen with, in evaluation mode.
    """
    phase = recipe.phases[index]
    began = time.monotonic()
    if phase.kind == "recalibrate":
        images = len(dataset.train)
        wanted = images if phase.images is None else min(phase.images, images)
        batches = training_batches(dataset, recipe, index, 0, workers.shard, device=workers.device)
        count = steps_per_epoch(wanted, recipe.data.batch_size)
        recalibrate(network, (inputs for inputs, _ in islice(batches, count)))
    inputs, labels = (x.to(workers.device) for x in calibration_images(recipe, dataset))
    was_training = network.training
    network.eval()
    with torch.no_grad():
        logits = network(inputs)
        loss = task_loss(dataset, logits, labels).item()
        counted = tally(dataset)
        counted.add(logits, labels)
        lipschitz = lipschitz_term(network).item()
    network.train(was_training)
    seconds = time.monotonic() - began
    return {
        "phase": phase.name,
        "phase_index": index,
        "kind": phase.kind,
        "epoch": 0,
        "epochs": 0,
        "lr": 0.0,
        "loss": loss,
        "lipschitz": lipschitz,
        **{f"train_{name}": value for name, value in counted.metrics().items()},
        **measure(network, dataset, recipe, workers),
        "images_per_second": len(labels) / max(seconds, 1e-9),
        "seconds": time.monotonic() - began,
    }


def sentence(row: dict[str, Any]) -> str:
    """The row as a line for people."""
    return (
        f"{row['phase']}: {row['kind']}, no training; loss {row['loss']:.4f}, "
        f"test {row['accuracy']:.2%}, L_Lip {row['lipschitz']:.4g}"
    )
