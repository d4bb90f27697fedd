"""Teachers that other runs have trained: found and checked before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from qdeploy.data.load import known_facts
from qdeploy.errors import CheckpointError, RecipeError
from qdeploy.recipe.models import Phase, Recipe
from qdeploy.training.checkpoints import CheckpointFolder
from qdeploy.training.restored import restored_float
from qdeploy.training.run import CHECKPOINTS, SUMMARY, is_finished, recipe_digest, recipe_of


@dataclass(frozen=True)
class Teacher:
    """A float network of another run.

    Args:
        recipe: of that run.
        tensors: its state at the end of float training.
        sha256: of the file that has them.
    """

    recipe: Recipe
    tensors: dict[str, torch.Tensor]
    sha256: str

    def network(self) -> nn.Module:
        """The network, on the CPU, in evaluation mode.

        Raises:
            CheckpointError: the tensors are not those of its recipe.
        """
        return restored_float(self.recipe, self.tensors).eval()


def uses_own_float(phase: Phase) -> bool:
    """Whether the phase's teacher is the float network of its run."""
    return phase.distillation is not None and phase.distillation.teacher is None


def find_teachers(recipe: Recipe) -> dict[str, Teacher]:
    """The teachers in other folders that phases of `recipe` name, by folder.

    Raises:
        CheckpointError: for a folder without a finished run, or without its float network.
        RecipeError: when the teacher is of another data set, input shape or number of classes, or
            of another architecture where features are compared.
    """
    found: dict[str, Teacher] = {}
    for phase in recipe.phases:
        settings = phase.distillation
        if settings is None or settings.teacher is None:
            continue
        folder = settings.teacher
        if folder not in found:
            found[folder] = _read(Path(folder))
        where = f"phases.{phase.name}.distillation"
        _check_task(found[folder].recipe, recipe, folder, where)
        pruned = any(one.pruning and one.kind == "pretrain" for one in found[folder].recipe.phases)
        if settings.features > 0 and pruned:
            raise RecipeError(
                f"the teacher in `{folder}` was pruned, so its features cannot be compared with "
                "the network's",
                where=f"{where}.features",
                why="its parts have fewer channels",
                do="set features to 0, and learn from its logits alone, or choose a teacher with "
                "all channels",
            )
        if settings.features > 0 and found[folder].recipe.network != recipe.network:
            raise RecipeError(
                f"the teacher in `{folder}` has another architecture, so its features cannot be "
                "compared with the network's",
                where=f"{where}.features",
                why="the outputs of their parts have other shapes or meanings",
                do="set features to 0, and learn from its logits alone, or choose a teacher with "
                "the same section `network`",
            )
    return found


def _read(folder: Path) -> Teacher:
    recipe = recipe_of(folder)
    digest = recipe_digest(recipe)
    if not is_finished(folder, digest):
        raise CheckpointError(
            f"the teacher's run in `{folder}` is not finished, or is damaged",
            where=str(folder / SUMMARY),
            do="finish that training first (`qdeploy train … --resume`), or choose another teacher",
        )
    last = max(i for i, phase in enumerate(recipe.phases) if phase.kind == "pretrain")
    do = "train it again, or choose another teacher"
    checkpoint = CheckpointFolder(folder / CHECKPOINTS).end_of(last, digest, do)
    return Teacher(recipe, checkpoint.tensors, str(checkpoint.sidecar["sha256"]))


def _check_task(teacher: Recipe, recipe: Recipe, folder: str, where: str) -> None:
    (their_shape, their_classes), (our_shape, our_classes) = (
        known_facts(one.data) for one in (teacher, recipe)
    )
    pairs = {
        "data set": (f"`{teacher.data.name}`", f"`{recipe.data.name}`"),
        "input shape": ("x".join(map(str, their_shape)), "x".join(map(str, our_shape))),
        "number of classes": (str(their_classes), str(our_classes)),
    }
    for what, (their, our) in pairs.items():
        if their != our:
            raise RecipeError(
                f"the teacher in `{folder}` has another {what}: {their}, and this recipe {our}",
                where=f"{where}.teacher",
                why="it has nothing to say about these images",
                do="choose a teacher that was trained on the same data",
            )
