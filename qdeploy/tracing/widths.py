"""What a person may give as bit widths: a number, two, keys of a recipe, or a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.quantization import Quantization

Widths = int | tuple[int, int] | Mapping[str, Any] | Quantization | Recipe | str | Path
_DO = (
    "give a number of bits from 1 to 8, (bits of weights, bits of activations), a dictionary with "
    "keys of a recipe's section `quantization`, or a recipe"
)


def quantization_of(given: Widths) -> Quantization:
    """The section `quantization` that is meant.

    Args:
        given: bits of inner weights and activations, where the first and the last layer have 8; two
            such numbers; keys of the section; the section; a recipe, or the path of one.

    Raises:
        RecipeError: no such widths, or a recipe that cannot be read.
    """
    if isinstance(given, Quantization):
        return given
    if isinstance(given, Recipe):
        return given.quantization
    if isinstance(given, str | Path):
        return load_recipe(Path(given)).quantization
    if isinstance(given, int) and not isinstance(given, bool):
        given = (given, given)
    if isinstance(given, tuple) and len(given) == 2:
        given = {"weight_bits": given[0], "activation_bits": given[1]}
    if not isinstance(given, Mapping):
        raise RecipeError(f"{given!r} says no bit widths", do=_DO)
    try:
        return Quantization.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part != "constrained-int")
        raise RecipeError(
            f"{first.get('input')!r} is no value of `{key}`" if key else "these bits do not agree",
            where="quantization",
            why=first["msg"].removeprefix("Value error, "),
            do=_DO,
        ) from error
