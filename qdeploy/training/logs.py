"""More logs of a training beside metrics.jsonl, for other programs.

metrics.csv    its rows as a table, one column per key, empty where a row has none
tensorboard/   its numbers as curves over the rows, counted from 1; needs the package `tensorboard`
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.artifacts import write_text
from qdeploy.errors import RecipeError
from qdeploy.recipe.training import Log
from qdeploy.training.checkpoints import writing
from qdeploy.training.metrics import EpochMetrics

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

TABLE = "metrics.csv"
CURVES = "tensorboard"
PACKAGE = "tensorboard<2.20"  # newer ones want another protobuf than the other packages here
COLUMNS = tuple(field.name for field in fields(EpochMetrics))
# Keys that say which row it is, and are no curves.
_POSITION = ("phase", "phase_index", "kind", "epoch", "epochs", "kept_epoch")


def check_logs(wanted: Sequence[Log]) -> None:
    """Refuse a log that needs a package that is not there, or does not load.

    Raises:
        RecipeError: it names the package and how to get it.
    """
    if "tensorboard" not in wanted:
        return
    if importlib.util.find_spec("tensorboard") is None:
        raise _without_tensorboard("is not installed", None, "install it with")
    from google.protobuf.runtime_version import VersionError

    try:
        importlib.import_module("torch.utils.tensorboard")
    except (ImportError, TypeError, VersionError) as error:
        # The last two come of protobuf, of which other packages want other versions.
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise _without_tensorboard("cannot be loaded", why, "install one that fits with") from error


def _without_tensorboard(state: str, why: str | None, advice: str) -> RecipeError:
    return RecipeError(
        f"logs for TensorBoard need the package `tensorboard`, which {state}",
        where="training.logs",
        why=why,
        do=f"{advice} `pip install '{PACKAGE}'`, or remove it from training.logs",
    )


def write_table(folder: Path, rows: Sequence[EpochMetrics]) -> None:
    """Write metrics.csv atomically.

    Raises:
        CheckpointError: when it cannot be written.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(row.to_json() for row in rows)
    with writing(folder / TABLE):
        write_text(folder / TABLE, text.getvalue())


class Curves:
    """The curves of one training; those of an interrupted one are written again.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / CURVES
        self._writer: SummaryWriter | None = None
        self._written = 0

    def add(self, rows: Sequence[EpochMetrics]) -> None:
        """Write those of `rows`, all so far, that are not written yet.

        Raises:
            CheckpointError: when they cannot be written.
        """
        with writing(self._folder):
            if self._writer is None:
                remove_curves(self._folder.parent)
                self._writer = _writer(self._folder)
            for number, row in enumerate(rows[self._written :], self._written + 1):
                for key, value in row.to_json().items():
                    if key not in _POSITION:
                        self._writer.add_scalar(key, value, number)
            self._written = len(rows)
            self._writer.flush()

    def close(self) -> None:
        """End the thread that writes."""
        if self._writer is not None:
            self._writer.close()


def remove_curves(folder: Path) -> None:
    """Remove the curves of the run in `folder`, and nothing else."""
    for path in (folder / CURVES).glob("events.out.tfevents.*"):
        path.unlink()
    if (folder / CURVES).is_dir() and not any((folder / CURVES).iterdir()):
        (folder / CURVES).rmdir()


def _writer(folder: Path) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
