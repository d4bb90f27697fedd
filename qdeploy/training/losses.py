"""Losses by name: qdeploy's own, those of other packages, and functions of the user's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from qdeploy.data.dataset import Dataset
from qdeploy.errors import RecipeError
from qdeploy.plugins import of_others as blamed_on
from qdeploy.recipe.loss import LOSSES, Loss
from qdeploy.training.segmentation import full_size

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    weights: torch.Tensor | None = None,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Mean over images; arguments as in `objective.task_loss`."""
    if weights is None:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)
    total = F.cross_entropy(
        logits, labels, weight=weights, label_smoothing=smoothing, reduction="sum"
    )
    return total / len(labels)


def squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over the batch and the targets, both float32 (N, targets)."""
    return F.mse_loss(outputs, targets)


def absolute_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over the batch and the targets, both float32 (N, targets)."""
    return F.l1_loss(outputs, targets)


def of_others(settings: Loss, dataset: Dataset) -> LossFunction:
    """The function of another package, or of the user's own, that `loss.function` names.

    It is called as (logits, labels, **arguments), float32 (N, classes) and int64 (N,), or shares of
    classes (N, classes) with `mixup`; for regression the normalized targets, float32 (N, targets);
    for segmentation with logits of the masks' size, (N, classes,
    H, W) and int64 (N, H, W). It gives the mean over the batch, a tensor of no axes.

    Raises:
        UserError: it cannot be loaded. When called, PluginError where it raises, and RecipeError
            where it gives something else.
    """
    name = settings.function
    function = LOSSES.function(name)
    owner = LOSSES.owner(name)
    arguments: dict[str, Any] = dict(settings.arguments)

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if dataset.task == "segmentation":
            height, width = labels.shape[1:]
            logits = full_size(logits, (height, width))
        with blamed_on(owner):
            value = function(logits, labels, **arguments)
        if not torch.is_tensor(value) or value.dim() or not value.is_floating_point():
            shape = (
                f"shape {tuple(value.shape)}" if torch.is_tensor(value) else type(value).__name__
            )
            raise RecipeError(
                f"the loss `{name}` gives no single number",
                where=f"loss.function: {name}",
                why=f"it gives {shape}",
                do="return the mean over the batch, a tensor of no axes",
            )
        return value

    return loss
