"""The recipe's channel pruning, and where in a recipe it makes sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from qdeploy.recipe.order import QUANTIZED_FROM_FLOAT, WITHOUT_EPOCHS
from qdeploy.recipe.section import Section


class Pruning(Section):
    """Channels whose gates a phase trains, and that are removed from the network at its end. A gate
    is the scale and the shift of batch norm, of all norms on the channel together."""

    target: float = Field(
        gt=0,
        lt=1,
        description="share of the network's channels to remove, at least; those that residual "
        "connections tie together count once",
    )
    penalty: float = Field(
        default=8.0,
        ge=0,
        le=1000,
        description="how far a gate shrinks in the phase that the loss does not hold open; before "
        "training gates have a size of 0.7; those that are not closed by it when the phase ends "
        "are chosen by their size",
    )
    multiple_of: int = Field(
        default=1,
        ge=1,
        le=65536,
        description="a layer that loses channels keeps a multiple of this, as folding needs",
    )
    min_channels: int = Field(
        default=1, ge=1, le=65536, description="channels that each layer keeps, at least"
    )


def check_pruning(phases: Sequence[Mapping[str, Any]], quantizations: Sequence[Any]) -> None:
    """Reject phases that prune where it makes no sense, or beside what it does not go with.

    Args:
        phases: of the recipe, in order, as `model_dump` gives them.
        quantizations: the section as it is after each phase.

    Raises:
        ValueError: a sentence with the phase, and what to do.
    """
    for index, phase in enumerate(phases):
        if phase["pruning"] is not None:
            _check_phase(phase, quantizations[index])
            _check_rest(phase, phases[index + 1 :])


def _check_phase(phase: Mapping[str, Any], quantization: Any) -> None:
    name, kind = phase["name"], phase["kind"]
    if kind in WITHOUT_EPOCHS:
        raise ValueError(
            f"the phase `{name}` is of kind {kind}, which does not train: remove its `pruning`"
        )
    if phase["patience"]:
        raise ValueError(
            f"the phase `{name}` trains gates until its end, and `patience` would end it by an "
            "accuracy without pruning: remove one of the two"
        )
    if kind != "pretrain" and quantization.activation_thresholds == "learned":
        raise ValueError(
            f"the phase `{name}` prunes, but with `quantization.activation_thresholds: learned` a "
            "channel whose gate is closed is not zero: prune in a pretrain phase, or leave "
            "thresholds uniform"
        )


def _check_rest(phase: Mapping[str, Any], rest: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what follows a phase that prunes."""
    name, floating = phase["name"], phase["kind"] == "pretrain"
    if all(one["kind"] in WITHOUT_EPOCHS for one in rest):
        raise ValueError(
            f"the phase `{name}` prunes, and no phase trains the network that is left: put another "
            "one after it"
        )
    for one in rest:
        if not floating and one["kind"] in QUANTIZED_FROM_FLOAT:
            raise ValueError(
                f"the phase `{one['name']}` starts from the float network, which has all the "
                f"channels that `{name}` removes: make it a finetune phase, or prune in a pretrain "
                "phase"
            )
        distillation = one["distillation"]
        if distillation is None or not distillation["features"]:
            continue
        if distillation["teacher"] is not None or not floating:
            raise ValueError(
                f"`distillation.features` of the phase `{one['name']}` compares channels with "
                f"those of a teacher, which has the ones that `{name}` removes: set it to 0, and "
                "learn from the logits alone"
            )
