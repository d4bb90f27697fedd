"""The float network of a run, as its float training ended."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from qdeploy.errors import CheckpointError
from qdeploy.recipe.models import Recipe
from qdeploy.training.checkpoints import CheckpointFolder
from qdeploy.training.restored import restored_float
from qdeploy.training.run import CHECKPOINTS, RECIPE, recipe_digest, recipe_of


def load_float(folder: Path) -> tuple[Recipe, nn.Module]:
    """The recipe of a run and its float network, on the CPU, in evaluation mode.

    The phases after the float training may be unfinished.

    Raises:
        CheckpointError: the folder holds no run, or one whose float training is not finished or
            damaged.
    """
    recipe = recipe_of(folder)
    last = max(i for i, phase in enumerate(recipe.phases) if phase.kind == "pretrain")
    resume = f"go on with `qdeploy train {folder / RECIPE} --out {folder} --resume`"
    try:
        end = CheckpointFolder(folder / CHECKPOINTS).end_of(last, recipe_digest(recipe), resume)
    except CheckpointError as error:
        raise CheckpointError(
            f"the run in `{folder}` has no finished float training",
            where=error.where,
            why=error.what,
            do=resume,
        ) from error
    return recipe, restored_float(recipe, end.tensors).eval()
