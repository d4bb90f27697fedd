"""From a recipe's section `data`, or the name of a data set, to the data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qdeploy.errors import DataError, RecipeError
from qdeploy.observer import SILENT, Observer
from qdeploy.plugins import of_others
from qdeploy.recipe.data import DATASETS, Data, DataSpec, Shape

if TYPE_CHECKING:
    from qdeploy.data.dataset import Dataset

Load = Callable[[Path | None, Data, Observer], "Dataset"]


def data_spec(data: str | Data) -> DataSpec:
    """The specification of a data set, by name or by a recipe's section, which may change it.

    Raises:
        UserError: for an unknown name.
    """
    if isinstance(data, str):
        return DATASETS.load(data)
    shape, classes = data.facts()
    spec = DATASETS.load(data.name)
    return replace(spec, shape=shape, classes=classes, task=data.learned_task)


def known_facts(data: Data) -> tuple[Shape, int]:
    """Shape of an image and number of classes.

    Raises:
        RecipeError: they are found in the files, and the recipe does not have them yet.
    """
    shape, classes = data.facts()
    if shape is None or classes is None:
        raise RecipeError(
            f"the shape and the classes of `{data.name}` are not known yet",
            where="data.shape, data.class_names",
            why="they are found in the files when a training begins",
            do="name a run instead of its recipe, or write both keys into the recipe",
        )
    return shape, classes


def load_dataset(
    data: str | Data, data_dir: Path | None = None, observer: Observer = SILENT
) -> Dataset:
    """Load a data set; a large one is only listed, and read batch by batch later.

    Args:
        data: a name, or a recipe's section.
        data_dir: folder that holds the sets.
        observer: gets notes about files that are not the published ones, and the progress.

    Raises:
        UserError: for an unknown name.
        DataError: for a set that needs a folder when none is given; for missing or damaged files,
            with their names, source and layout.
        PluginError: code of another package, or of the user's own, raises.
    """
    if isinstance(data, str) and DATASETS.load(data).shape is None:
        raise DataError(
            f"the data set `{data}` needs its files",
            where=data,
            do="give a recipe's section `data` with its `path`",
        )
    if isinstance(data, str):
        data = (DATASETS.load(data).section or Data).model_validate({"name": data})
    load = cast(Load, DATASETS.resolve(data.name, DATASETS.load(data.name).load))
    with of_others(DATASETS.owner(data.name)):
        return load(data_dir, data, observer)
