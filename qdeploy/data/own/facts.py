"""What the files say, written into the recipe: a run is whole without its data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from qdeploy.data.load import load_dataset
from qdeploy.errors import RecipeError
from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.explain import explain
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.own_data import OwnData

if TYPE_CHECKING:
    from qdeploy.data.dataset import Dataset


def with_facts(
    recipe: Recipe,
    data_dir: Path | None,
    observer: Observer = SILENT,
    dataset: Dataset | None = None,
) -> Recipe:
    """The recipe with shape, class names and ranges of its data; as it is, where it has them or its
    data set is not one of one's own.

    Args:
        dataset: the recipe's, where it is in memory; loaded when None.

    Raises:
        DataError: as `load_dataset`.
        RecipeError: other keys do not suit the shape or the classes.
    """
    data = recipe.data
    if isinstance(data, OwnData) and not data.complete:
        dataset = dataset or load_dataset(data, data_dir, observer)
        recipe = _completed(recipe, data, dataset)
    return recipe


def _completed(recipe: Recipe, data: OwnData, dataset: Dataset) -> Recipe:
    found: dict[str, Any] = {"shape": dataset.shape}
    if dataset.targets is None:
        found["class_names"] = dataset.classes
    else:
        mean, scale = dataset.targets.mean, dataset.targets.scale
        found |= {"targets": dataset.classes, "target_mean": mean, "target_scale": scale}
    if dataset.scaling is not None:
        found |= dataset.scaling.facts()
    values = {**recipe.model_dump(), "data": {**data.model_dump(), **found}}
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        what, keys, do = explain(error.errors(include_url=False)[0], values)
        raise RecipeError(
            what,
            where=".".join(map(str, keys)) or None,
            why=f"the data in `{data.path}` are {'x'.join(map(str, dataset.shape))} in "
            f"{len(dataset.classes)} classes",
            do=do,
        ) from error
