"""Data sets that code of the user's own makes."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from qdeploy.data.dataset import Dataset
from qdeploy.data.own.from_torch import from_torch, random_state
from qdeploy.data.own.parts import place_of
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.plugins import blamed
from qdeploy.recipe.data import DATASETS
from qdeploy.recipe.own_data import PythonData, TorchData


def load(folder: Path | None, settings: PythonData, observer: Observer) -> Dataset:
    """What the function of `data.name` makes, `python:module:function` or one of a package.

    Raises:
        UserError: it cannot be loaded.
        DataError: it takes other arguments; as `from_torch`.
        PluginError: it raises.
    """
    name = settings.name
    function = DATASETS.function(name)
    arguments: dict[str, Any] = dict(settings.arguments)
    try:
        signature = inspect.signature(function)
        if "path" in signature.parameters and "path" not in arguments:
            arguments["path"] = place_of(settings, folder)
        signature.bind(**arguments)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the function `{name}` cannot be called: {error}",
            where="data.arguments",
            why=f"it gets {', '.join(arguments) or 'no arguments'}",
            do="give its arguments by name in data.arguments",
        ) from error
    with blamed(name), random_state(settings.split_seed):
        made = function(**arguments)
    return from_torch(made, settings, name, observer)


def given(folder: Path | None, settings: TorchData, observer: Observer) -> Dataset:
    """None: the data set was an object in a Python program.

    Raises:
        DataError: always.
    """
    raise DataError(
        "the data set was an object in a Python program",
        where=f"data.name: {settings.name}",
        why="no file has it",
        do="give the object again in Python, or name a function that makes it: data.name: "
        "python:my_module:my_function",
    )
