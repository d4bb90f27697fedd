"""A run folder: what is in it, whether it is finished, and reading the trained network back.

recipe.yaml                     the resolved recipe
metrics.jsonl                   one line an epoch
started_from.json               the run whose first phases were taken over, if one was
checkpoints/                    the newest two and the last of each phase
model.safetensors, model.json   the trained network
summary.json                    accuracies by phase; written last: a run that has it is finished
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from qdeploy.artifacts import write_text
from qdeploy.data.dataset import Dataset
from qdeploy.data.load import load_dataset
from qdeploy.errors import CheckpointError, RecipeError
from qdeploy.networks.from_recipe import build_network
from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe, Training
from qdeploy.training.checkpoints import read_tensors, writing

RECIPE = "recipe.yaml"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
MODEL = "model.safetensors"
SUMMARY = "summary.json"
STARTED_FROM = "started_from.json"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        folder: where it lies.
        recipe: the resolved recipe.
        network: quantized, trained, in evaluation mode; has `input_shape`.
        summary: content of summary.json.
    """

    folder: Path
    recipe: Recipe
    network: nn.Module = field(repr=False)
    summary: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    def dataset(self, data_dir: Path | None = None, observer: Observer = SILENT) -> Dataset:
        """The recipe's data set; arguments as in `load_dataset`."""
        return load_dataset(self.recipe.data, data_dir, observer)


def recipe_digest(recipe: Recipe) -> str:
    """Hash of the resolved recipe: two runs with the same digest train the same weights.

    Only values that are not the defaults count, so that a key which a later version adds leaves
    the digests of older runs alone. How batches are loaded and how long processes wait decides
    nothing about weights, and equal bits are promised for a CPU alone: a run may go on with other
    `workers`, another `worker_timeout`, or on a GPU.
    """
    data = recipe.data.model_copy(update={"workers": None, "on_device": "auto"})
    usual = Training()
    training = recipe.training.model_copy(
        update={"device": usual.device, "worker_timeout": usual.worker_timeout}
    )
    values = recipe.model_copy(update={"data": data, "training": training}).model_dump(
        mode="json", exclude_defaults=True
    )
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def load_run(run_dir: Path | str) -> Run:
    """Read a finished run.

    Raises:
        CheckpointError: when the folder holds no run, an unfinished or a damaged one.
    """
    folder = Path(run_dir)
    recipe = recipe_of(folder)
    summary = read_summary(folder)
    if summary is None or not (folder / MODEL).exists():
        raise CheckpointError(
            f"the run in `{folder}` is not finished",
            where=str(folder),
            do=f"go on with `qdeploy train {folder / RECIPE} --out {folder} --resume`",
        )
    tensors, _ = read_tensors(folder / MODEL)
    network = build_network(recipe, quantized=True)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in `{MODEL}` do not belong to the recipe beside them",
            where=str(folder),
            why=str(error).splitlines()[0],
            do="train again with --force",
        ) from error
    network.eval()
    return Run(folder, recipe, network, summary)


def recipe_of(folder: Path) -> Recipe:
    """The recipe of a run, finished or not.

    Raises:
        CheckpointError: when the folder holds no run.
    """
    try:
        return load_recipe(folder / RECIPE)
    except RecipeError as error:
        raise CheckpointError(
            f"`{folder}` is not a run folder",
            where=str(folder / RECIPE),
            why=error.what,
            do="make one with `qdeploy train RECIPE --out FOLDER`",
        ) from error


def read_summary(folder: Path) -> dict[str, Any] | None:
    """summary.json, None when there is none that can be read."""
    try:
        data = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def started_from(folder: Path) -> dict[str, Any]:
    """What the run took over from another one, under the key "started_from"; nothing if it did
    not."""
    path = folder / STARTED_FROM
    if not path.exists():
        return {}
    return {"started_from": json.loads(path.read_text(encoding="utf-8"))}


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; an unreadable one ends the list."""
    rows: list[dict[str, Any]] = []
    try:
        text = (folder / METRICS).read_text(encoding="utf-8")
    except OSError:
        return rows
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def write_metrics(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write metrics.jsonl atomically.

    Raises:
        CheckpointError: when it cannot be written.
    """
    with writing(folder / METRICS):
        write_text(folder / METRICS, "".join(json.dumps(row) + "\n" for row in rows))


def is_finished(folder: Path, recipe: Recipe) -> bool:
    """Whether the folder holds a finished run of exactly this recipe."""
    summary = read_summary(folder)
    if summary is None or summary.get("recipe_sha256") != recipe_digest(recipe):
        return False
    try:
        read_tensors(folder / MODEL)
    except CheckpointError:
        return False  # it is made again from the last checkpoint
    return True
