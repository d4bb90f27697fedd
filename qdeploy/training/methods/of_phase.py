"""The methods that a phase of a recipe asks for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.recipe.models import Phase, Recipe
from qdeploy.recipe.quantization import Quantization
from qdeploy.recipe.schedules import TransitionSchedule
from qdeploy.training.batches import Batching, steps_per_epoch
from qdeploy.training.methods.distillation import Distilling
from qdeploy.training.methods.frozen_norms import FrozenNorms
from qdeploy.training.methods.gradient_scaling import GradientScaling
from qdeploy.training.methods.method import Method, Methods
from qdeploy.training.methods.oscillation import Damping, Freezing
from qdeploy.training.methods.pruning import GateTraining
from qdeploy.training.methods.recalibrate import Recalibration, recalibration_batches
from qdeploy.training.methods.refit import Refit
from qdeploy.training.methods.swa import EpochMean
from qdeploy.training.methods.teacher import Teacher
from qdeploy.training.methods.transitions import TransitionRate
from qdeploy.training.pruned import channels_in
from qdeploy.training.schedules import learning_rate
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
    epochs = recipe.epochs_of(phase)
    per_epoch = steps_per_epoch(len(dataset.train), recipe.data.batch_size)
    steps = epochs * per_epoch
    if phase.pruning is not None:
        channels = channels_in(recipe, network.state_dict())
        rates = sum(learning_rate(phase, step, per_epoch, epochs) for step in range(steps))
        found.append(GateTraining(network, channels, phase.pruning, rates))
    if quantized:
        found += _of_weights(phase, recipe.bits_of(index), network, steps)
    if phase.average_epochs > 0:
        found.append(EpochMean(network, epochs - phase.average_epochs))
    images = None
    if (quantized or phase.pruning is not None) and phase.recalibrate > 0:
        # No epoch of training has this number, so these batches are others.
        place = (index, epochs)
        images = partial(
            recalibration_batches, dataset, Batching.of(recipe), place, workers=workers
        )
    if phase.frozen_norms:
        fixed = None if images is None else partial(images, phase.recalibrate)
        found.append(FrozenNorms(network, fixed, workers))
    elif images is not None:
        epoch = len(dataset.train)
        found.append(Recalibration(network, images, phase.recalibrate, epoch, workers))
    return Methods(found)


def _of_weights(
    phase: Phase, quantization: Quantization, network: nn.Module, steps: int
) -> list[Method]:
    """Those about the codes of weights, in a phase of so many `steps`."""
    found: list[Method] = []
    if phase.refit_epochs > 0:
        found.append(Refit(network, quantization, phase.refit_epochs))
    if quantization.weight_gradient_scaling > 0:
        found.append(GradientScaling(network, quantization.weight_gradient_scaling))
    settings = phase.oscillation
    if settings.damping > 0:
        found.append(Damping(network, settings.damping, steps))
    if settings.freeze > 0:
        limits = (settings.freeze_start or settings.freeze, settings.freeze)
        found.append(Freezing(network, limits, settings.momentum, steps))
    if isinstance(phase.schedule, TransitionSchedule):
        found.append(TransitionRate(network, phase.schedule, phase.optimizer.lr, steps))
    return found
