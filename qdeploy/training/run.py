"""A run folder: what is in it, whether it is finished, and reading the trained network back.

recipe.yaml                     the resolved recipe
metrics.jsonl                   one line per epoch
started_from.json               the run whose first phases were taken over, if there was one
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

from qdeploy.bounded import read_json
from qdeploy.data.dataset import Dataset
from qdeploy.data.load import load_dataset
from qdeploy.errors import CheckpointError, RecipeError
from qdeploy.networks.from_recipe import build_network
from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe, Training
from qdeploy.training.checkpoints import read_tensors

RECIPE = "recipe.yaml"
CHECKPOINTS = "checkpoints"
MODEL = "model.safetensors"
SUMMARY = "summary.json"
STARTED_FROM = "started_from.json"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        folder: the run folder.
        recipe: the resolved recipe.
        network: quantized and trained, in evaluation mode; has `input_shape`.
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

    Only values other than the defaults count, so that a key added by a later version does not
    change the digests of older runs. How batches are loaded and how long processes wait has no
    influence on weights, and equal bits are promised for a CPU only: a run may be resumed with
    other `workers`, another `worker_timeout`, or on a GPU.
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
            f"the weights in `{MODEL}` do not belong to the recipe in the same folder",
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
            do="create one with `qdeploy train RECIPE --out FOLDER`",
        ) from error


def read_summary(folder: Path) -> dict[str, Any] | None:
    """summary.json, None when there is none that can be read."""
    try:
        data = read_json(folder / SUMMARY)
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def started_from(folder: Path) -> dict[str, Any]:
    """What the run took over from another one, under the key "started_from"; empty if nothing."""
    path = folder / STARTED_FROM
    if not path.exists():
        return {}
    return {"started_from": read_json(path)}


def is_finished(folder: Path, digest: str) -> bool:
    """Whether the folder holds a finished run of exactly the recipe with this digest."""
    summary = read_summary(folder)
    if summary is None or summary.get("recipe_sha256") != digest:
        return False
    try:
        read_tensors(folder / MODEL)
    except CheckpointError:
        return False  # it is written again from the last checkpoint
    return True
