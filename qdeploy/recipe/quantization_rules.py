"""Options of `quantization` that exclude each other, refused as the recipe is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_LEARNED_BITS = 4  # of activations: 15 thresholds a layer
MOST_EVEN_BITS = 4  # of weights: with more, levels that are all used would leave out large ones

# Widths of weights whose levels are powers of two, or sums of them.
LEVEL_BITS = {"power_of_two": (3, 4), "apot": (3, 4, 5)}


def check_quantization(values: Mapping[str, Any]) -> None:
    """Reject what cannot be together.

    Args:
        values: of the section, as `model_dump` gives them.

    Raises:
        ValueError: a sentence with the keys, and what to do.
    """
    layers = values["layers"].values()
    if values["weight_gradient_scaling"] and values["weight_bits"] == "float":
        raise ValueError(
            "`weight_gradient_scaling` is about codes of weights, but `weight_bits` is float: "
            "remove one of the two"
        )
    if values["activation_thresholds"] == "learned":
        bits = [values["activation_bits"], *(one["activation_bits"] for one in layers)]
        if not _any_of(bits, MOST_LEARNED_BITS):
            raise ValueError(
                f"`activation_thresholds: learned` is for activations of up to {MOST_LEARNED_BITS} "
                f"bits; `activation_bits` is {values['activation_bits']}: choose fewer bits, or "
                "`uniform`"
            )
    kind = values["weight_levels"]
    if kind in LEVEL_BITS:
        bits = [values[key] for key in ("weight_bits", "first_layer_bits", "last_layer_bits")]
        bits += [one["weight_bits"] for one in layers]
        if not set(bits) & set(LEVEL_BITS[kind]):
            widths = " or ".join(map(str, LEVEL_BITS[kind]))
            raise ValueError(
                f"`weight_levels: {kind}` is for weights of {widths} bits; `weight_bits` is "
                f"{values['weight_bits']}: choose one of these, or `symmetric`"
            )
        if values["weight_gradient_scaling"]:
            raise ValueError(
                f"`weight_gradient_scaling` excludes `weight_levels: {kind}`: it takes levels to "
                "be one step apart; leave one of them out"
            )
    if values["weight_normalization"] == "entropy":
        bits = [values["weight_bits"], *(one["weight_bits"] for one in layers)]
        if not _any_of(bits, MOST_EVEN_BITS):
            raise ValueError(
                f"`weight_normalization: entropy` is for weights of up to {MOST_EVEN_BITS} bits; "
                f"`weight_bits` is {values['weight_bits']}: choose fewer bits, or `none`"
            )
        for key, value, why in _WITHOUT_ENTROPY:
            if values[key] == value:
                raise ValueError(
                    f"`weight_normalization: entropy` excludes `{key}: {value}`: {why}; leave one "
                    "of them out"
                )


_WITHOUT_ENTROPY = (
    ("weight_step", "learned", "it sets the steps of weights from the weights themselves"),
    ("weight_levels", "all", "levels from -2 to 1 are not used equally with any step"),
    ("weight_levels", "power_of_two", "its levels are not evenly apart"),
    ("weight_levels", "apot", "its levels are not evenly apart"),
    ("scale", "power_of_two", "a power of two cannot follow the weights"),
)


def _any_of(bits: Sequence[Any], most: int) -> bool:
    return any(isinstance(one, int) and one <= most for one in bits)
