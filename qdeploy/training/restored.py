"""Networks as a checkpoint has them, also with fewer channels than the recipe says."""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.networks.fewer_channels import weight_shapes
from qdeploy.recipe.models import Recipe
from qdeploy.training.pruned import without_closed_channels
from qdeploy.training.quantize import trainable
from qdeploy.training.state import network_part, restore_network


def restored(recipe: Recipe, tensors: dict[str, torch.Tensor], *, quantized: bool) -> nn.Module:
    """The recipe's network with the state in a checkpoint's tensors, on the CPU.

    Raises:
        CheckpointError: they are not those of the recipe's network.
    """
    shapes = weight_shapes(network_part(tensors)) if recipe.prunes else None
    network = trainable(recipe, quantized=quantized, shapes=shapes)
    restore_network(network, tensors)
    return network


def restored_float(recipe: Recipe, tensors: dict[str, torch.Tensor]) -> nn.Module:
    """The float network that quantizing starts from, on the CPU.

    Args:
        tensors: of the checkpoint with which float training ended.

    Raises:
        CheckpointError: they are not those of the recipe's network.
    """
    network = restored(recipe, tensors, quantized=False)
    last = [phase for phase in recipe.phases if phase.kind == "pretrain"][-1]
    if last.pruning is None:
        return network
    return without_closed_channels(recipe, last.pruning, network, quantized=False)
