"""What to do with a run folder before training into it: start, resume, leave alone or refuse."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from qdeploy.artifacts import sha256
from qdeploy.build_folder import REPORT_FILE
from qdeploy.errors import CheckpointError, RecipeError
from qdeploy.folder_lock import LOCK_FILE
from qdeploy.observer import ignore
from qdeploy.parts import tidy
from qdeploy.recipe.loading import load_recipe, save_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.training.checkpoints import Checkpoint, CheckpointFolder
from qdeploy.training.logs import TABLE, remove_curves
from qdeploy.training.metrics import METRICS
from qdeploy.training.run import (
    ANALYSIS,
    CHECKPOINTS,
    ENSEMBLE,
    FILES,
    GROUP,
    MODEL,
    PICTURES,
    RECIPE,
    REPLACING,
    STARTED_FROM,
    SUMMARY,
    changed,
    is_finished,
    read_summary,
    recipe_digest,
)
from qdeploy.training.warm_start import WarmStart, find_warm_start

# What a run, its analysis and its report leave beside recipe and checkpoints; the summary first.
OWN = (
    *(SUMMARY, MODEL, str(Path(MODEL).with_suffix(".json")), METRICS, TABLE, STARTED_FROM, GROUP),
    *(ANALYSIS, *PICTURES, REPORT_FILE),
)


class Start(Enum):
    """How a training begins."""

    FRESH = "fresh"
    RESUME = "resume"
    FINISHED = "finished"


def prepare(
    folder: Path,
    recipe: Recipe,
    digest: str,
    *,
    resume: bool,
    force: bool,
    warm_start: Path | None = None,
    note: Callable[[str], None] = ignore,
) -> tuple[Start, Checkpoint | None]:
    """Make `folder` ready and store the recipe in it.

    Args:
        folder: the run folder; made when missing.
        recipe: resolved.
        digest: its `recipe_digest`.
        resume: go on from the newest complete checkpoint, if there is one.
        force: remove an earlier run; a process that is killed meanwhile leaves a mark, by which
            the next one knows to finish that.
        warm_start: folder of another run, whose first phases a run that begins takes over; a run
            that is resumed has its own.
        note: takes sentences about what happens.

    Raises:
        CheckpointError: when the folder holds something else and `force` is not given, or when no
            checkpoint can be used.
    """
    if (folder / ENSEMBLE).exists():
        raise CheckpointError(
            f"`{folder}` holds an ensemble",
            where=str(folder / ENSEMBLE),
            do="choose another folder with --out",
        )
    taken = None
    if warm_start is not None:
        _check_other(warm_start, folder)
        # Read before anything is removed.
        taken = find_warm_start(warm_start, recipe)
    if force:
        _remove(folder)
    elif (folder / REPLACING).exists():
        note(f"a run in {folder} was being replaced: what is left of it is removed")
        _remove(folder)
        force = True
    tidy(folder)
    stored = _stored(folder)
    if stored is None:
        if not force and _holds_anything(folder):
            raise CheckpointError(
                f"`{folder}` is not empty and holds no run",
                where=str(folder),
                do="choose another folder with --out, or use --force",
            )
        if resume:
            note(f"there is no run in {folder} yet: training starts from the beginning")
        save_recipe(recipe, folder / RECIPE)
        return _begin(folder, digest, taken, note)
    if recipe_digest(stored) != digest:
        raise CheckpointError(
            f"`{folder}` holds a run of a different recipe",
            where=str(folder / RECIPE),
            why=_difference(stored, recipe),
            do=_instead(stored, recipe),
        )
    _check_unchanged(folder)
    if is_finished(folder, digest):
        return Start.FINISHED, None
    checkpoints = CheckpointFolder(folder / CHECKPOINTS)
    checkpoints.clear()
    checkpoint, unusable = checkpoints.newest(digest)
    if checkpoint is None:
        note("the earlier run has no checkpoint yet: training starts from the beginning")
        _remove_results(folder)
        return _begin(folder, digest, taken, note)
    if not resume:
        raise CheckpointError(
            f"`{folder}` holds an unfinished run of this recipe",
            where=str(folder / CHECKPOINTS),
            do="go on with --resume, or start over with --force",
        )
    for error in unusable:
        note(f"{error.what}; an earlier one is used")
    return Start.RESUME, checkpoint


def _begin(
    folder: Path, digest: str, taken: WarmStart | None, note: Callable[[str], None]
) -> tuple[Start, Checkpoint | None]:
    if taken is None:
        return Start.FRESH, None
    checkpoint = taken.write(folder, digest)
    note(f"taken over from {taken.origin['run']}: everything up to phase {taken.origin['phase']}")
    return Start.RESUME, checkpoint


def _check_other(warm_start: Path, folder: Path) -> None:
    if warm_start.resolve() == folder.resolve():
        raise CheckpointError(
            f"a run cannot start from itself: `{folder}`",
            where="--start-from",
            do="choose another folder with --out, or go on with --resume",
        )


def _stored(folder: Path) -> Recipe | None:
    path = folder / RECIPE
    if not path.exists():
        return None
    try:
        return load_recipe(path)
    except RecipeError as error:
        raise CheckpointError(
            f"the recipe stored in `{folder}` cannot be read",
            where=error.where or str(path),
            why=error.what,
            do="replace that run with --force",
        ) from error


def _difference(stored: Recipe, recipe: Recipe) -> str:
    old, new = stored.model_dump(mode="json"), recipe.model_dump(mode="json")
    sections = [key for key in new if old.get(key) != new[key]]
    return f"the recipes differ in: {', '.join(sections)}"


def _instead(stored: Recipe, recipe: Recipe) -> str:
    if stored.model_copy(update={"name": recipe.name}) == recipe:
        return (
            f"go on with that run by --set name={stored.name}, or choose another folder with --out"
        )
    return (
        "choose another folder with --out, where --start-from takes over the phases that both have "
        "in common, or replace that run with --force"
    )


def _check_unchanged(folder: Path) -> None:
    """Whether the stored recipe is the one that a finished training had.

    Raises:
        CheckpointError: it is not.
    """
    files = (read_summary(folder) or {}).get(FILES)
    expected = files.get(RECIPE) if isinstance(files, dict) else None
    if expected not in (None, sha256(folder / RECIPE)):
        raise changed(folder / RECIPE)


def _holds_anything(folder: Path) -> bool:
    return folder.exists() and any(path.name != LOCK_FILE for path in folder.iterdir())


def _remove(folder: Path) -> None:
    """Remove what a run consists of, and nothing else.

    From when the mark is there, the run is gone; before, it is whole. So a process that is killed
    at any moment leaves the one or the other, never files of both runs.
    """
    if not _holds_anything(folder):
        return
    (folder / REPLACING).touch()
    _remove_results(folder)
    (folder / RECIPE).unlink(missing_ok=True)
    (folder / REPLACING).unlink()


def _remove_results(folder: Path) -> None:
    """Everything but the recipe; the summary first: it marks a run as finished."""
    for name in OWN:
        (folder / name).unlink(missing_ok=True)
    remove_curves(folder)
    if (folder / CHECKPOINTS).exists():
        shutil.rmtree(folder / CHECKPOINTS)
