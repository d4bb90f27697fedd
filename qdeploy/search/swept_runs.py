"""Accuracies of runs of variants: what was trained of a sweep already.

A run is one of a variant where their recipes say the same, whatever its name, seed and machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdeploy.errors import CheckpointError, UserError
from qdeploy.search.sweep import Variant
from qdeploy.training.run import SUMMARY, read_summary, recipe_digest, recipe_of

if TYPE_CHECKING:
    from qdeploy.recipe.models import Recipe


@dataclass(frozen=True)
class Trained:
    """Finished runs of one variant.

    Args:
        accuracy: mean over them, in [0, 1]: of the last phase on the test set; the mIoU where the
            task is segmentation.
        runs: their folders.
    """

    accuracy: float
    runs: tuple[Path, ...]


@dataclass(frozen=True)
class SweptRuns:
    """What a folder has for a sweep.

    Args:
        of: for each variant its runs, None where there are none.
        others: finished runs of no variant.
    """

    of: tuple[Trained | None, ...]
    others: tuple[Path, ...]


def swept_runs(folder: Path, variants: Sequence[Variant]) -> SweptRuns:
    """Find the finished runs in `folder`, and in the folders in it.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder `{folder}`", where="--runs", do="give one with runs")
    found: dict[str, list[tuple[Path, float]]] = {}
    for path in sorted([*folder.glob(SUMMARY), *folder.glob(f"*/{SUMMARY}")]):
        accuracy = _accuracy(read_summary(path.parent) or {})
        try:
            key = _key(recipe_of(path.parent))
        except (CheckpointError, UserError):
            continue
        if accuracy is not None:
            found.setdefault(key, []).append((path.parent, accuracy))
    keys = [_key(variant.recipe) for variant in variants]
    trained = [
        Trained(sum(a for _, a in found[key]) / len(found[key]), tuple(p for p, _ in found[key]))
        if key in found
        else None
        for key in keys
    ]
    others = [path for key, runs in found.items() if key not in keys for path, _ in runs]
    return SweptRuns(tuple(trained), tuple(sorted(others)))


def _key(recipe: Recipe) -> str:
    return recipe_digest(recipe.model_copy(update={"name": "any", "seed": 0}))


def _accuracy(summary: dict[str, Any]) -> float | None:
    phases = summary.get("phases")
    last = phases[-1] if isinstance(phases, list) and phases else {}
    value = last.get("miou", last.get("accuracy")) if isinstance(last, dict) else None
    return float(value) if isinstance(value, int | float) else None
