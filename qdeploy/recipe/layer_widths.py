"""Widths of single layers: what has a width of its own, and a recipe in which it has another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qdeploy.recipe.models import Recipe

WidthKey = Literal["weight_bits", "activation_bits"]


@dataclass(frozen=True, order=True)
class Operand:
    """What a layer multiplies or puts out: weights, or activations after a quantizer.

    Args:
        layer: its name in the network.
        key: of the recipe, which width it is.
    """

    layer: str
    key: WidthKey


def with_widths(recipe: Recipe, widths: Mapping[Operand, int], name: str | None = None) -> Recipe:
    """`recipe` with these widths, behind what `quantization.layers` has already.

    Args:
        widths: of operands, in bits.
        name: of the new recipe; by default the same.

    Raises:
        pydantic.ValidationError: an option of the recipe excludes the widths.
    """
    data: dict[str, Any] = recipe.model_dump(mode="json")
    layers: dict[str, Any] = data["quantization"]["layers"]
    # The last pattern that matches counts, so single layers come last, whatever was there.
    for operand, bits in widths.items():
        own = layers.pop(operand.layer, {})
        layers[operand.layer] = {**own, operand.key: bits}
    if name is not None:
        data["name"] = name
    return Recipe.model_validate(data)
