"""The float network of a run, as its float training ended."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from qdeploy.data.load import load_dataset
from qdeploy.errors import CheckpointError, UserError
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.own_data import TorchData
from qdeploy.training.checkpoints import CheckpointFolder
from qdeploy.training.kept_frames import kept_dataset
from qdeploy.training.quantize import calibration_images
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


def float_of_run(folder: Path, *, with_images: bool) -> tuple[nn.Module, torch.Tensor | None]:
    """The float network of a run, and training images as it takes them, (N, C, H, W).

    Raises:
        UserError: it is a file.
        CheckpointError: as `load_float`.
        DataError: the run's data set is not where it was.
    """
    if folder.is_file():
        raise UserError(
            f"`{folder}` is a file, not the folder of a run",
            why="a QONNX or QCDQ file holds a network that is quantized",
            do="give it to `qdeploy.export`",
        )
    recipe, network = load_float(folder)
    if recipe.data.signed_codes:
        raise UserError(
            f"the network of `{folder}` has input codes of both signs",
            where="data.signed: true",
            why="the module that is returned would read unsigned ones",
            do="quantize the run itself, with `qdeploy quantize RUN`",
        )
    if not with_images:
        return network, None
    data = recipe.data
    dataset = (
        kept_dataset(folder, data)
        if isinstance(data, TorchData) and data.name == "torch"
        else load_dataset(data)
    )
    images, _ = calibration_images(dataset, recipe.seed, recipe.quantization.input_bits)
    return network, images
