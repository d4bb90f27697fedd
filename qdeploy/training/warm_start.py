"""Warm start: beginning a run after the phases that another run has trained already.

A phase is fixed by seed, network, data and the phases up to it, so two recipes that begin alike
train alike: the second takes the first one's checkpoints, and its own phases go on from there. The
other run is only read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qdeploy.artifacts import write_json
from qdeploy.errors import CheckpointError
from qdeploy.recipe.models import Phase, Recipe
from qdeploy.recipe.quantization import Quantization
from qdeploy.training.checkpoints import Checkpoint, CheckpointFolder, writing
from qdeploy.training.metrics import EpochMetrics, read_metrics, write_metrics
from qdeploy.training.run import CHECKPOINTS, RECIPE, STARTED_FROM, recipe_digest, recipe_of


def shared_phases(one: Recipe, other: Recipe) -> list[Phase]:
    """The phases at the beginning of both recipes that train the same weights.

    Float training does not depend on bit widths: with another `quantization` the phases in float
    are still shared, as long as inputs have the same number of bits.
    """
    if _common_digest(one) != _common_digest(other):
        return []
    same = []
    for first, second in zip(one.phases, other.phases, strict=False):
        floating = first.kind == "pretrain"
        if first != second or not (floating or one.quantization == other.quantization):
            break
        same.append(first)
    return same


@dataclass(frozen=True)
class WarmStart:
    """What a new run takes from another one.

    Args:
        checkpoints: ends of shared phases, the newest last.
        rows: their metrics.
        origin: where they come from, for the record.
    """

    checkpoints: list[Checkpoint]
    rows: list[EpochMetrics]
    origin: dict[str, Any]

    def write(self, folder: Path, digest: str) -> Checkpoint:
        """Copy it into the run `folder` of the recipe with this digest.

        Returns:
            The newest checkpoint, which training goes on from.

        Raises:
            CheckpointError: when it cannot be written.
        """
        write_metrics(folder, self.rows)
        with writing(folder / STARTED_FROM):
            write_json(folder / STARTED_FROM, self.origin, durable=True)
        own = CheckpointFolder(folder / CHECKPOINTS)
        # The oldest first: a phase that starts from the float network needs the end of that phase.
        for one in self.checkpoints:
            sidecar = {**one.sidecar, "recipe_sha256": digest}
            path = own.save(one.position, one.tensors, sidecar, keep=bool(one.sidecar["keep"]))
        return replace(self.checkpoints[-1], path=path)


def find_warm_start(source: Path, recipe: Recipe) -> WarmStart:
    """Find what `recipe` shares with the run in `source`, which is only read.

    Raises:
        CheckpointError: when `source` holds no run, shares no phase, or has no usable checkpoint.
    """
    stored = recipe_of(source)
    shared = shared_phases(stored, recipe)
    if not shared:
        raise CheckpointError(
            f"the run in `{source}` has no phase in common with this recipe",
            where=str(source / RECIPE),
            why=_difference(stored, recipe),
            do="train without --start-from",
        )
    digest = recipe_digest(stored)
    taken = _usable(CheckpointFolder(source / CHECKPOINTS), digest, len(shared))
    if not taken:
        raise CheckpointError(
            f"the run in `{source}` has no complete checkpoint of `{shared[0].name}`",
            where=str(source / CHECKPOINTS),
            do=f"train without --start-from, or go on with that run first: --out {source} --resume",
        )
    end = taken[-1].position
    rows = [row for row in read_metrics(source) if row.position <= end]
    origin = {
        "run": str(source),
        "recipe_sha256": digest,
        "phase": stored.phases[end.phase].name,
        "epoch": end.epoch,
    }
    if recipe_digest(recipe_of(source)) != digest:  # also refused while it is being replaced
        raise CheckpointError(
            f"the run in `{source}` was replaced while it was read",
            where=str(source / RECIPE),
            do="try again",
        )
    return WarmStart(taken, rows, origin)


def _usable(folder: CheckpointFolder, digest: str, phases: int) -> list[Checkpoint]:
    """The ends of the first `phases` phases and the newest checkpoint after them."""
    found = []
    for path in folder.paths():
        try:
            one = folder.read(path, digest)
        except CheckpointError:
            continue  # an earlier one is used
        if one.position.phase < phases:
            found.append(one)
    return [one for one in found[:-1] if one.sidecar["keep"]] + found[-1:]


def _common_digest(recipe: Recipe) -> str:
    """Digest of what all phases depend on."""
    quantization = Quantization(input_bits=recipe.quantization.input_bits)
    common = {"name": "x", "phases": [], "quantization": quantization}
    return recipe_digest(recipe.model_copy(update=common))


def _difference(stored: Recipe, recipe: Recipe) -> str:
    if _common_digest(stored) == _common_digest(recipe):
        return f"they differ from the first phase on, `{recipe.phases[0].name}`"
    old, new = stored.model_dump(mode="json"), recipe.model_dump(mode="json")
    keys = ("seed", "network", "quantization", "data", "training", "phases")
    return f"the recipes differ in: {', '.join(key for key in keys if old[key] != new[key])}"
