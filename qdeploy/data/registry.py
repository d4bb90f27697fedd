"""The data sets: shape and classes without loading anything, and loading by name."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.errors import DataError, UserError
from qdeploy.recipe.data import Data

if TYPE_CHECKING:
    from qdeploy.data.dataset import Dataset, Shape, Task

DATA_VARIABLE = "QDEPLOY_DATA"


@dataclass(frozen=True)
class DataSpec:
    """What a network has to know of a data set.

    Args:
        name: as in a recipe.
        shape: (channels, height, width) of an image, where the recipe does not say otherwise.
        classes: number of classes, likewise.
        module: the module whose `load(folder, settings)` reads it.
        embedded: needs no folder.
        task: one label for each image, or one for each pixel.
        void: label that is no class, None where there is none.
    """

    name: str
    shape: Shape
    classes: int
    module: str
    embedded: bool = False
    task: Task = "classification"
    void: int | None = None


def _segmentation(name: str, shape: Shape, classes: int, module: str, void: int) -> DataSpec:
    return DataSpec(name, shape, classes, module, task="segmentation", void=void)


SPECS = {
    spec.name: spec
    for spec in (
        DataSpec("digits", (1, 8, 8), 10, "qdeploy.data.digits", embedded=True),
        DataSpec("synthetic2d", (2, 1, 1), 2, "qdeploy.data.synthetic2d", embedded=True),
        DataSpec("fashion-mnist", (1, 28, 28), 10, "qdeploy.data.fashion_mnist"),
        DataSpec("cifar10", (3, 32, 32), 10, "qdeploy.data.cifar10"),
        DataSpec("fsdd", (1, 32, 64), 10, "qdeploy.data.fsdd"),
        DataSpec("imagenet", (3, 224, 224), 1000, "qdeploy.data.imagenet"),
        _segmentation("camvid", (3, 180, 240), 11, "qdeploy.data.camvid", void=11),
        _segmentation("voc2012", (3, 513, 513), 21, "qdeploy.data.voc2012", void=255),
    )
}


def data_spec(data: str | Data) -> DataSpec:
    """The specification of a data set, by name or as a recipe has it, with what it changes.

    Raises:
        UserError: for an unknown name.
    """
    if isinstance(data, str):
        if data not in SPECS:
            raise UserError(f"unknown data set `{data}`", do=f"choose one of: {', '.join(SPECS)}")
        return SPECS[data]
    spec = data_spec(data.name)
    size = data.image_size
    shape = spec.shape if size is None else (spec.shape[0], size, size)
    return replace(spec, shape=shape, classes=data.classes or spec.classes)


def data_folder(given: Path | None) -> Path | None:
    """The folder that holds the data sets: `given`, else what QDEPLOY_DATA says, else None."""
    if given is not None:
        return given
    value = os.environ.get(DATA_VARIABLE, "")
    return Path(value) if value else None


def load_dataset(data: str | Data, data_dir: Path | None = None) -> Dataset:
    """Load a data set; one that is large is only listed, and read batch by batch later.

    Args:
        data: a name, or a recipe's section.
        data_dir: folder that holds the sets; default the environment variable QDEPLOY_DATA.

    Raises:
        UserError: for an unknown name.
        DataError: for missing or damaged files, naming them, their source and layout.
    """
    spec = data_spec(data)
    settings = Data.model_validate({"name": spec.name}) if isinstance(data, str) else data
    folder = data_folder(data_dir)
    if folder is None and not spec.embedded:
        own = " and ".join(f"`{spec.name}`" for spec in SPECS.values() if spec.embedded)
        raise DataError(
            f"the data set `{spec.name}` needs a folder",
            why=f"only {own} come with qdeploy",
            do=f"give --data FOLDER or set {DATA_VARIABLE}\n"
            + importlib.import_module(spec.module).LAYOUT,
        )
    loaded: Dataset = importlib.import_module(spec.module).load(folder, settings)
    return loaded
