"""The option `--data`, which every command that reads data sets has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])
WHERE = "Folder that holds the data sets; default the variable QDEPLOY_DATA."


def data_option(text: str = WHERE) -> Callable[[_Command], _Command]:
    """Decorator of a command that takes `data: Path | None`.

    Args:
        text: what the folder holds, where that is not all data sets.
    """
    return click.option("--data", type=click.Path(path_type=Path), envvar="QDEPLOY_DATA", help=text)
