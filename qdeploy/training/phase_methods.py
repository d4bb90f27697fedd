"""The methods that a phase of a recipe asks for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import Batching
from qdeploy.training.distillation import Distilling
from qdeploy.training.methods import Method, Methods
from qdeploy.training.recalibrate import Recalibration, recalibration_batches
from qdeploy.training.teacher import Teacher
from qdeploy.training.workers import Workers


def phase_methods(
    recipe: Recipe,
    index: int,
    network: nn.Module,
    dataset: Dataset,
    workers: Workers,
    floating: nn.Module,
    teachers: Mapping[str, Teacher],
) -> Methods:
    """Those of phase number `index`, which trains `network`; in the order of their hooks: averages
    come before the statistics that are recomputed of them.

    Args:
        floating: the run's float network, trained where a phase needs it.
        teachers: those of other runs, by folder.
    """
    phase = recipe.phases[index]
    quantized = phase.kind != "pretrain"
    found: list[Method] = []
    if phase.distillation is not None:
        given = phase.distillation.teacher
        other = None if given is None else teachers[given]
        teacher = floating if other is None else other.network()
        precision, digest = recipe.training.precision, None if other is None else other.sha256
        on_device = teacher.to(workers.device)
        found.append(Distilling(network, on_device, phase.distillation, precision, digest))
    if quantized and phase.recalibrate > 0:
        # No epoch of training has this number, so these batches are others.
        place = (index, recipe.epochs_of(phase))
        images = recalibration_batches(
            dataset, Batching.of(recipe), place, phase.recalibrate, workers
        )
        found.append(Recalibration(network, images))
    return Methods(found)
