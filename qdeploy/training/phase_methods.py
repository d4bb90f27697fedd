"""The methods that a phase of a recipe asks for."""

from __future__ import annotations

from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import Batching
from qdeploy.training.methods import Method, Methods
from qdeploy.training.recalibrate import Recalibration, recalibration_batches
from qdeploy.training.workers import Workers


def phase_methods(
    recipe: Recipe, index: int, network: nn.Module, dataset: Dataset, workers: Workers
) -> Methods:
    """Those of phase number `index`, which trains `network`; in the order of their hooks: averages
    come before the statistics that are recomputed of them."""
    phase = recipe.phases[index]
    quantized = phase.kind != "pretrain"
    found: list[Method] = []
    if quantized and phase.recalibrate > 0:
        # No epoch of training has this number, so these batches are others.
        place = (index, recipe.epochs_of(phase))
        images = recalibration_batches(
            dataset, Batching.of(recipe), place, phase.recalibrate, workers
        )
        found.append(Recalibration(network, images))
    return Methods(found)
