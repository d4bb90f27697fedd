"""The data sets: shape and classes without loading anything, and loading by name."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.errors import DataError, UserError

if TYPE_CHECKING:
    from qdeploy.data.dataset import Dataset

DATA_VARIABLE = "QDEPLOY_DATA"


@dataclass(frozen=True)
class DataSpec:
    """What a network has to know of a data set.

    Args:
        name: as in a recipe.
        shape: (channels, height, width) of an image.
        classes: number of classes.
        module: the module whose `load(folder)` reads it.
        embedded: needs no folder.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    module: str
    embedded: bool = False


SPECS = {
    spec.name: spec
    for spec in (
        DataSpec("digits", (1, 8, 8), 10, "qdeploy.data.digits", embedded=True),
        DataSpec("fashion-mnist", (1, 28, 28), 10, "qdeploy.data.fashion_mnist"),
        DataSpec("cifar10", (3, 32, 32), 10, "qdeploy.data.cifar10"),
        DataSpec("synthetic2d", (2, 1, 1), 2, "qdeploy.data.synthetic2d", embedded=True),
        DataSpec("fsdd", (1, 32, 64), 10, "qdeploy.data.fsdd"),
        DataSpec("camvid", (3, 180, 240), 11, "qdeploy.data.camvid"),
        DataSpec("imagenet", (3, 224, 224), 1000, "qdeploy.data.imagenet"),
        DataSpec("voc2012", (3, 513, 513), 21, "qdeploy.data.voc2012"),
    )
}


def data_spec(name: str) -> DataSpec:
    """The specification of a data set.

    Raises:
        UserError: for an unknown name.
    """
    if name not in SPECS:
        raise UserError(f"unknown data set `{name}`", do=f"choose one of: {', '.join(SPECS)}")
    return SPECS[name]


def data_folder(given: Path | None) -> Path | None:
    """The folder that holds the data sets: `given`, else what QDEPLOY_DATA says, else None."""
    if given is not None:
        return given
    value = os.environ.get(DATA_VARIABLE, "")
    return Path(value) if value else None


def load_dataset(name: str, data_dir: Path | None = None) -> Dataset:
    """Load a data set by name.

    Args:
        name: `digits`, `fashion-mnist` or `cifar10`.
        data_dir: folder that holds the sets; default the environment variable QDEPLOY_DATA.

    Raises:
        UserError: for an unknown name.
        DataError: for missing or damaged files, naming them, their source and layout.
    """
    spec = data_spec(name)
    folder = data_folder(data_dir)
    if folder is None and not spec.embedded:
        raise DataError(
            f"the data set `{name}` needs a folder",
            why="only `digits` comes with qdeploy",
            do=f"give --data FOLDER or set {DATA_VARIABLE}\n"
            + importlib.import_module(spec.module).LAYOUT,
        )
    loaded: Dataset = importlib.import_module(spec.module).load(folder)
    return loaded
