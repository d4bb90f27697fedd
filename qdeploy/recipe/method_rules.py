"""Methods of a phase that do not go with its other options, refused as the recipe is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

QUANTIZED = ("retrain", "finetune")


def check_methods(phase: Mapping[str, Any], quantization: Mapping[str, Any], epochs: int) -> None:
    """Reject what cannot be together.

    Args:
        phase: as `model_dump` gives it.
        quantization: the section as it is during the phase, likewise.
        epochs: of the phase.

    Raises:
        ValueError: a sentence with the keys, and what to do.
    """
    name, kind = phase["name"], phase["kind"]
    oscillation, average = phase["oscillation"], phase["average_epochs"]
    of_weights = {
        "oscillation": oscillation["damping"] > 0 or oscillation["freeze"] > 0,
        "refit_epochs": phase["refit_epochs"] > 0,
        "schedule: transition": phase["schedule"]["type"] == "transition",
    }
    for key, wanted in of_weights.items():
        if not wanted:
            continue
        if kind not in QUANTIZED:
            raise ValueError(
                f"`{key}` is for phases that train quantized weights, retrain and finetune; "
                f"`{name}` is of kind {kind}: remove it there"
            )
        if quantization["weight_bits"] == "float":
            raise ValueError(
                f"`{key}` of the phase `{name}` is about codes of weights, but "
                "`quantization.weight_bits` is float: remove one of the two"
            )
    for key in ("refit_epochs", "schedule: transition"):
        if of_weights[key] and quantization["weight_step"] == "learned":
            raise ValueError(
                f"`{key}` of the phase `{name}` needs weight steps that are not learned: set "
                "`quantization.weight_step: fixed`, or remove it"
            )
    if of_weights["refit_epochs"] and quantization["weight_normalization"] != "none":
        raise ValueError(
            f"`refit_epochs` of the phase `{name}` has nothing to choose where steps follow the "
            "weights: remove it, or `quantization.weight_normalization`"
        )
    if of_weights["schedule: transition"] and phase["warmup_epochs"]:
        raise ValueError(
            f"the phase `{name}` has a transition schedule, which finds the rate by itself: remove "
            "its `warmup_epochs`"
        )
    if phase["frozen_norms"] and kind not in QUANTIZED:
        raise ValueError(
            "`frozen_norms` is for phases that train a quantized network, retrain and finetune; "
            f"`{name}` is of kind {kind}: remove it there"
        )
    if phase["frozen_norms"] and phase["pruning"] is not None:
        raise ValueError(
            f"the phase `{name}` has `pruning`, which learns from what batch norms see, and "
            "`frozen_norms`: give the norms a phase of their own after it"
        )
    if average and kind in ("direct", "recalibrate"):
        raise ValueError(
            f"the phase `{name}` is of kind {kind}, which does not train: remove its "
            "`average_epochs`"
        )
    if average > epochs:
        raise ValueError(f"the phase `{name}` cannot average {average} epochs, for it has {epochs}")
    if average and phase["ema"]:
        raise ValueError(
            f"the phase `{name}` has two averages of its weights, `ema` and `average_epochs`: "
            "remove one"
        )
    if average and phase["patience"]:
        raise ValueError(
            f"the phase `{name}` averages its last epochs, and `patience` leaves open which they "
            "are: remove `average_epochs` or `patience`"
        )
