"""The files of a training run, for the tests with damaged files."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path

from damage import Kind, all_of
from tiny_runs import train_tiny

from qdeploy.artifacts import sha256
from qdeploy.build.source import open_source
from qdeploy.recipe.loading import load_recipe
from qdeploy.training.checkpoints import CheckpointFolder
from qdeploy.training.run import load_run, read_summary, recipe_digest, recipe_of
from qdeploy.training.train import train
from qdeploy.training.warm_start import find_warm_start


@functools.cache
def _trained() -> Path:
    """A finished run, with the checkpoints of its last phase still there."""
    folder = Path(tempfile.mkdtemp(prefix="damaged-runs-"))
    train_tiny(folder / "run", "training.epochs=1", "data.batch_size=512", "training.threads=1")
    return folder / "run"


def run(name: str, folder: Path) -> Path:
    """A copy of the run, of which the file `name` gets damaged."""
    shutil.copytree(_trained(), folder / "run")
    return folder / "run" / name


def checkpoint(suffix: str, folder: Path) -> Path:
    """A checkpoint of a run that is not finished."""
    root = run("checkpoints", folder)
    (root.parent / "summary.json").unlink()
    return max(root.glob(f"*{suffix}"))


def with_digest(path: Path) -> None:
    """The sidecar names the digest of these tensors, so that they are read."""
    sidecar = path.with_suffix(".json")
    data = json.loads(sidecar.read_bytes())
    sidecar.write_text(json.dumps({**data, "sha256": sha256(path)}))


def read_run(path: Path) -> None:
    """All that reads a finished run; the last refusal, if any."""
    folder = next(one for one in path.parents if one.name == "run")
    recipe = load_recipe(_trained() / "recipe.yaml")
    all_of(
        lambda: load_run(folder),
        lambda: read_summary(folder),
        lambda: open_source(folder, None).describe(),
        lambda: find_warm_start(folder, recipe),
        lambda: train(recipe, folder),
    )


def read_checkpoints(path: Path) -> None:
    """All that reads a run that is not finished; the last refusal, if any."""
    folder = next(one for one in path.parents if one.name == "run")
    copy = folder.with_name("resumed")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    digest = recipe_digest(recipe_of(_trained()))
    recipe = load_recipe(_trained() / "recipe.yaml")
    all_of(
        lambda: CheckpointFolder(folder / "checkpoints").newest(digest),
        lambda: find_warm_start(folder, recipe),
        lambda: train(recipe, copy, resume=True),
    )


KINDS = (
    Kind("run recipe", functools.partial(run, "recipe.yaml"), read_run, 30),
    Kind("summary", functools.partial(run, "summary.json"), read_run, 30),
    Kind("metrics", functools.partial(run, "metrics.jsonl"), read_run, 16, needed=False),
    Kind("model sidecar", functools.partial(run, "model.json"), read_run, 30),
    Kind("model", functools.partial(run, "model.safetensors"), read_run, 20),
    Kind("sealed model", functools.partial(run, "model.safetensors"), read_run, 40, with_digest),
    Kind(
        "checkpoint sidecar",
        functools.partial(checkpoint, ".json"),
        read_checkpoints,
        16,
        needed=False,
    ),
    Kind(
        "sealed checkpoint",
        functools.partial(checkpoint, ".safetensors"),
        read_checkpoints,
        16,
        with_digest,
        needed=False,
    ),
    Kind(
        "metrics of a part",
        lambda folder: checkpoint(".json", folder).parents[1] / "metrics.jsonl",
        read_checkpoints,
        8,
        needed=False,
    ),
)
