"""A run folder: what is in it, whether it is finished, and reading the trained network back.

recipe.yaml                     the resolved recipe
metrics.jsonl                   one line per epoch
metrics.csv, tensorboard/       the same, where the recipe wants it (`logs`)
started_from.json               the run whose first phases were taken over, if there was one
group.json                      the seeds that were trained together with it, if there were any
frames.npz                      frames of a data set that was an object in Python
checkpoints/                    the newest two and the last of each phase
model.safetensors, model.json   the trained network
summary.json                    accuracies by phase, and the digests of recipe and weights; written
                                last: a run that has it is finished
.lock                           who writes the folder, while they do
.replacing                      while an earlier run is removed: nothing here counts any more
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from qdeploy.artifacts import sha256
from qdeploy.bounded import read_json
from qdeploy.data.dataset import Dataset
from qdeploy.data.load import load_dataset
from qdeploy.data.scaling import Scaling
from qdeploy.data.targets import TargetScaling
from qdeploy.errors import CheckpointError, RecipeError
from qdeploy.folder_lock import LOCK_FILE, holder_of, locked
from qdeploy.networks.fewer_channels import weight_shapes
from qdeploy.networks.from_recipe import build_network
from qdeploy.observer import SILENT, Observer, ignore
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.own_data import RealData, TorchData
from qdeploy.recipe.training import Training
from qdeploy.training.checkpoints import read_tensors
from qdeploy.training.kept_frames import kept_dataset

RECIPE = "recipe.yaml"
CHECKPOINTS = "checkpoints"
MODEL = "model.safetensors"
SUMMARY = "summary.json"
STARTED_FROM = "started_from.json"
GROUP = "group.json"
REPLACING = ".replacing"
# A folder with it holds an ensemble of runs (`qdeploy/ensemble/`).
ENSEMBLE = "ensemble.json"
# What `qdeploy analyze` adds.
ANALYSIS = "analysis.json"
PICTURES = ("sqnr.png", "noise_gain.png", "spectral_norm.png", "flatness.png")
# Key of summary.json: name -> hex SHA-256 of what a finished run is loaded from.
FILES = "files"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        folder: the run folder.
        recipe: the resolved recipe.
        recipe_text: as it is stored.
        files: what was read, recipe and weights: name -> hex SHA-256.
        network: quantized and trained, in evaluation mode; has `input_shape`.
        summary: content of summary.json.
    """

    folder: Path
    recipe: Recipe
    recipe_text: str = field(repr=False)
    files: dict[str, str]
    network: nn.Module = field(repr=False)
    summary: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def recipe_sha256(self) -> str:
        """Digest of what the recipe says, as `recipe_digest` gives it."""
        return recipe_digest(self.recipe)

    @property
    def input_bits(self) -> int:
        """Width of the input codes."""
        return self.recipe.quantization.input_bits

    @property
    def scaling(self) -> Scaling | None:
        """From real values to the network's input, None where it is made of bytes."""
        data = self.recipe.data
        return Scaling.of_section(data) if isinstance(data, RealData) else None

    @property
    def targets(self) -> TargetScaling | None:
        """From the network's output to the numbers it predicts; None where it tells classes."""
        data = self.recipe.data
        if not isinstance(data, RealData) or data.target_mean is None or data.target_scale is None:
            return None
        return TargetScaling(data.target_mean, data.target_scale)

    @property
    def sentence(self) -> str:
        """What it is, for people."""
        return f"trained run `{self.name}`"

    def dataset(self, data_dir: Path | None = None, observer: Observer = SILENT) -> Dataset:
        """The recipe's data set, or what is kept of one that no file has; arguments as in
        `load_dataset`."""
        data = self.recipe.data
        if isinstance(data, TorchData) and data.name == "torch":
            return kept_dataset(self.folder, data)
        return load_dataset(self.recipe.data, data_dir, observer)


def recipe_digest(recipe: Recipe) -> str:
    """Hash of the resolved recipe: two runs with the same digest train the same weights.

    Only values other than the defaults count, so that a key added by a later version does not
    change the digests of older runs. How batches are loaded and how long processes wait has no
    influence on weights, and equal bits are promised for a CPU only: a run may be resumed with
    other `workers`, another `worker_timeout`, other `logs`, or on a GPU.
    """
    others: dict[str, Any] = {"workers": None, "on_device": "auto"}
    if isinstance(recipe.data, RealData):
        others["bits"] = RealData.model_fields["bits"].default  # `quantization.input_bits` says it
    data = recipe.data.model_copy(update=others)
    usual = Training()
    training = recipe.training.model_copy(
        update={
            "device": usual.device,
            "worker_timeout": usual.worker_timeout,
            "logs": usual.logs,
        }
    )
    values = recipe.model_copy(update={"data": data, "training": training}).model_dump(
        mode="json", exclude_defaults=True
    )
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def locked_run(
    folder: Path, use: str, note: Callable[[str], None] = ignore
) -> AbstractContextManager[None]:
    """Keep the run folder for the command `use`, which writes it; as `folder_lock.locked`."""
    return locked(folder / LOCK_FILE, f"the run folder `{folder}`", use, note)


def digests(folder: Path) -> dict[str, dict[str, str]]:
    """What summary.json says of the files that a finished run is loaded from."""
    return {FILES: {name: sha256(folder / name) for name in (RECIPE, MODEL)}}


def load_run(run_dir: Path | str, note: Callable[[str], None] = ignore) -> Run:
    """Read a finished run.

    The files belong together, whoever writes the folder meanwhile: what was read is compared with
    the digests in the summary.

    Args:
        note: hears of a run that has no digests, because an earlier version trained it.

    Raises:
        CheckpointError: when the folder holds no run, an unfinished or a damaged one, or files that
            were changed after the training.
    """
    folder = Path(run_dir)
    summary = read_summary(folder)
    recipe = recipe_of(folder)
    if summary is None or not (folder / MODEL).exists():
        raise _unfinished(folder)
    tensors, sidecar = read_tensors(folder / MODEL)
    text = (folder / RECIPE).read_bytes()
    found = {RECIPE: hashlib.sha256(text).hexdigest(), MODEL: str(sidecar["sha256"])}
    files = summary.get(FILES)
    if files is None:
        note(
            f"note: the run in {folder} is of an earlier version, which kept no digests: whether "
            f"{RECIPE} and {MODEL} are those of the training cannot be told"
        )
    else:
        _compare(files, found, folder)
    shapes = weight_shapes(tensors) if recipe.prunes else None
    network = build_network(recipe, quantized=True, shapes=shapes)
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
    return Run(folder, recipe, text.decode("utf-8"), found, network, summary)


def _unfinished(folder: Path) -> CheckpointError:
    holder = holder_of(folder / LOCK_FILE)
    return CheckpointError(
        f"the run in `{folder}` is not finished",
        where=str(folder),
        why=None if holder is None else f"it is being trained: {holder.sentence}",
        do=f"go on with `qdeploy train {folder / RECIPE} --out {folder} --resume`"
        if holder is None
        else "wait for the training",
    )


def _compare(files: object, found: dict[str, str], folder: Path) -> None:
    expected = files if isinstance(files, dict) else {}
    for name, digest in found.items():
        if expected.get(name) != digest:
            raise changed(folder / name)


def changed(path: Path) -> CheckpointError:
    """The error for a file that is not the one of the finished training."""
    return CheckpointError(
        f"`{path.name}` was changed after the training",
        where=str(path),
        why=f"it does not have the digest that {SUMMARY} names: what is made of this run would be "
        "of another network than it says",
        do="put the file back, or train again: into another folder, or with --force",
    )


def recipe_of(folder: Path) -> Recipe:
    """The recipe of a run, finished or not.

    Raises:
        CheckpointError: when the folder holds no run.
    """
    if (folder / REPLACING).exists():
        raise CheckpointError(
            f"the run in `{folder}` is being replaced",
            where=str(folder / REPLACING),
            why="`qdeploy train --force` removes it, or was ended while it did",
            do="wait for the new run, or train it again",
        )
    if (folder / ENSEMBLE).exists():
        raise CheckpointError(
            f"`{folder}` holds an ensemble of runs, not a run",
            where=str(folder / ENSEMBLE),
            why="what is asked for is made from the recipe and the float network of one training",
            do=f"name one of its members, such as `{folder / 'members' / '1'}`",
        )
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
    return _noted(folder / STARTED_FROM, "started_from")


def trained_with(folder: Path) -> dict[str, Any]:
    """The seeds that were trained at once with the run, under the key "group"; empty if none."""
    return _noted(folder / GROUP, "group")


def _noted(path: Path, key: str) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return {key: read_json(path)}
    except (OSError, ValueError):
        return {}  # a record of the past, which nothing depends on


def is_finished(folder: Path, digest: str) -> bool:
    """Whether the folder holds a finished run of exactly the recipe with this digest.

    A run whose weights are damaged, or not those that its summary names, is not: they are made
    again from the last checkpoint.
    """
    summary = read_summary(folder)
    if summary is None or summary.get("recipe_sha256") != digest:
        return False
    try:
        _, sidecar = read_tensors(folder / MODEL)
        if FILES in summary:
            _compare(summary[FILES], {MODEL: str(sidecar["sha256"])}, folder)
    except CheckpointError:
        return False
    return True
