"""Phases without epochs, which train nothing: direct quantization and recalibration.

They write no checkpoint: a resumed run repeats them, which takes seconds.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.recipe.models import Phase
from qdeploy.training.batches import Batching
from qdeploy.training.evaluate import measure
from qdeploy.training.lipschitz import LipschitzTerm
from qdeploy.training.methods.recalibrate import recalibrate, recalibration_batches
from qdeploy.training.metrics import TRAIN, VALIDATION, EpochMetrics
from qdeploy.training.objective import tally, task_loss
from qdeploy.training.quantize import calibration_images
from qdeploy.training.workers import ALONE, Workers


def run_without_epochs(
    phase: Phase,
    index: int,
    network: nn.Module,
    dataset: Dataset,
    batching: Batching,
    workers: Workers = ALONE,
) -> EpochMetrics:
    """Do a `phase`, number `index`, of the kind direct or recalibrate, on the quantized `network`.

    Returns:
        The phase's row: metrics of the test set and of a validation split; loss and metrics of the
        training images that scales were chosen with, in evaluation mode.
    """
    began = time.monotonic()
    if phase.kind == "recalibrate":
        wanted = len(dataset.train) if phase.images is None else phase.images
        place = (index, 0)
        images = partial(recalibration_batches, dataset, batching, place, wanted, workers)
        recalibrate(network, images, workers)
    calibration = calibration_images(dataset, batching.seed, batching.input_bits)
    inputs, labels = (x.to(workers.device) for x in calibration)
    was_training = network.training
    network.eval()
    with torch.no_grad():
        logits = network(inputs)
        loss = task_loss(dataset, logits, labels).item()
        counted = tally(dataset)
        counted.add(logits, labels)
        lipschitz = LipschitzTerm(network).value()
    network.train(was_training)
    seconds = time.monotonic() - began
    row = EpochMetrics(
        phase=phase.name,
        phase_index=index,
        kind=phase.kind,
        epoch=0,
        epochs=0,
        lr=0.0,
        loss=loss,
        lipschitz=lipschitz,
        images_per_second=len(labels) / max(seconds, 1e-9),
        seconds=0.0,
    ).with_score(counted.score(), TRAIN)
    if dataset.validation is not None:
        held = measure(network, dataset, batching, workers, dataset.validation)
        row = row.with_score(held, VALIDATION)
    row = row.with_score(measure(network, dataset, batching, workers))
    return replace(row, seconds=time.monotonic() - began)
