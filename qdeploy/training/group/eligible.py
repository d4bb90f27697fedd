"""Which recipes train together when they differ in the seed alone."""

from __future__ import annotations

import hashlib

from qdeploy.recipe.models import Phase, Recipe
from qdeploy.recipe.order import WITHOUT_EPOCHS
from qdeploy.recipe.schedules import TransitionSchedule
from qdeploy.training.run import recipe_digest

MOST = 16  # seeds: more only fall out of the processor's caches


def group_key(recipe: Recipe) -> str | None:
    """Equal for recipes that train together; None for one that trains by itself."""
    if why_alone(recipe) is not None:
        return None
    alike = recipe.model_copy(update={"seed": 0, "name": "group"})
    return hashlib.sha256(recipe_digest(alike).encode()).hexdigest()[:32]


def why_alone(recipe: Recipe) -> str | None:
    """What in a recipe keeps seeds from training together, as a key of the recipe; None if nothing
    does."""
    data, training, bits = recipe.data, recipe.training, recipe.quantization
    found = {
        "network.type": recipe.network.type != "fcdnn",
        "data.validation": data.validation > 0,
        "data.augment": data.augment != "none",
        "data.jitter": data.jitter is not None,
        "data": data.learned_task != "classification",
        "data.signed": data.signed_codes,
        "training.device": training.device != "cpu",
        "training.precision": training.precision != "float32",
        "training.accumulate": training.accumulate > 1,
        "training.logs": bool(training.logs),
        "quantization.scale": bits.scale != "float",
        "quantization.weight_scaling": bits.weight_scaling != "per_layer",
        "quantization.weight_levels": bits.weight_levels not in ("symmetric", "all"),
        "quantization.weight_normalization": bits.weight_normalization != "none",
        "quantization.weight_gradient_scaling": bits.weight_gradient_scaling > 0,
        "quantization.clip_gradient": bits.clip_gradient != "pact",
        "quantization.activation_thresholds": bits.activation_thresholds != "uniform",
        "quantization.layers": bool(bits.layers),
        "quantization.weight_bits": 1
        in (bits.weight_bits, bits.first_layer_bits, bits.last_layer_bits, bits.activation_bits),
    }
    wrong = next((key for key, alone in found.items() if alone), None)
    if wrong is not None:
        return wrong
    trained = [phase for phase in recipe.phases if phase.kind not in WITHOUT_EPOCHS]
    return next((f"phases.{p.name}.{key}" for p in trained if (key := _special(p))), None)


def _special(phase: Phase) -> str | None:
    """What a phase does that a group does not."""
    found = {
        "quantization": phase.quantization is not None,
        "schedule": isinstance(phase.schedule, TransitionSchedule),
        "clip_norm": phase.clip_norm > 0,
        "loss": not phase.loss.plain,
        "cutout": phase.cutout > 0,
        "mixup": phase.mixup > 0,
        "ema": phase.ema > 0,
        "average_epochs": phase.average_epochs > 0,
        "refit_epochs": phase.refit_epochs > 0,
        "oscillation": phase.oscillation.damping > 0 or phase.oscillation.freeze > 0,
        "distillation": phase.distillation is not None,
        "pruning": phase.pruning is not None,
        "frozen_norms": phase.frozen_norms,
    }
    return next((key for key, wanted in found.items() if wanted), None)
