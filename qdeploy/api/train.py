"""`qdeploy.train`: a module and a torch Dataset through qdeploy's trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qdeploy.errors import RecipeError
from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.shipped import recipe_file

if TYPE_CHECKING:
    from torch import nn


def train(
    module: nn.Module,
    dataset: object,
    recipe: Recipe | Path | str,
    *,
    out: Path | str,
    overrides: Sequence[str] = (),
    task: Literal["classification", "regression"] = "classification",
    resume: bool = False,
    force: bool = False,
    observer: Observer = SILENT,
) -> Path:
    """Train a module by a recipe: in float, then quantized.

    The recipe's phases, bit widths and settings count; its data set and network are replaced.
    Inputs of the data set are spread over 0 to 1, bytes as byte / 256 and real values by the range
    of their channel, whatever the module was used to.

    Args:
        module: float, trained or not, with one output per class; training starts from its weights,
            and leaves it alone.
        dataset: a torch Dataset of pairs (input, label), a pair of them (training, test), or a
            dictionary with `train`, and `test` and `val` where there are any. Without a test set
            one is drawn.
        recipe: a recipe, the path of one, or the name of one that comes with qdeploy.
        out: the run folder.
        task: what labels are: classes, integers or names; or numbers to predict, one or several
            for each input, with as many outputs of the module.
        overrides: such as `training.epochs=3`, for a recipe from a file.
        resume: go on with an unfinished run.
        force: replace an earlier run.
        observer: hears of epochs and notes; nothing is printed.

    Returns:
        The run folder. `qdeploy.export` and all commands take it: the run holds the network and
        frames of the test set, and needs neither module nor data set again.

    Raises:
        RecipeError: the recipe cannot be read, or does not suit module and data.
        DataError: the data set is none.
        UnsupportedLayerError: the module cannot be traced, or does what cannot be quantized.
        CheckpointError: the folder holds another run.

    Example:
        >>> import torch, qdeploy
        >>> from torch import nn
        >>> x = torch.randint(0, 256, (300, 1, 8, 8), dtype=torch.uint8)
        >>> y = (x[:, 0, :, :4].float().mean((1, 2)) > x[:, 0, :, 4:].float().mean((1, 2))).long()
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 2))
        >>> run = qdeploy.train(
        ...     net,
        ...     torch.utils.data.TensorDataset(x, y),
        ...     "quickstart/digits_fcdnn_w2a2",
        ...     out="runs/halves",
        ...     overrides=["training.epochs=1"],
        ... )
        >>> sorted(path.name for path in run.iterdir() if path.suffix == ".safetensors")
        ['model.safetensors']
    """
    from qdeploy.training.of_module import train_module

    if isinstance(recipe, Recipe):
        if overrides:
            raise RecipeError("overrides are for recipes from files", do="change the recipe itself")
        chosen = recipe
    else:
        chosen = load_recipe(recipe_file(Path(recipe)), overrides)
    return train_module(
        module,
        dataset,
        chosen,
        Path(out),
        task=task,
        resume=resume,
        force=force,
        observer=observer,
    )
