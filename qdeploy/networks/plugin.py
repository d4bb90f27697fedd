"""Networks that code of the user's own makes."""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.errors import RecipeError
from qdeploy.networks.sections import PythonNetwork
from qdeploy.quant.layers import LayerFactory
from qdeploy.recipe.networks import NETWORKS


def build(
    section: PythonNetwork,
    make: LayerFactory,
    input_shape: tuple[int, int, int],
    classes: int,
) -> nn.Module:
    """The module that the function of `network.type` makes, `python:module:function` or one of a
    package.

    The function is called with (make, input_shape, classes) and the recipe's arguments by name.

    Raises:
        UserError: it cannot be loaded.
        RecipeError: what it makes is no network with an output per class.
    """
    name = section.type
    network = NETWORKS.function(name)(make, input_shape, classes, **section.arguments)
    if not isinstance(network, nn.Module):
        raise _wrong(name, f"it is a {type(network).__name__}, not a torch.nn.Module")
    if not isinstance(getattr(network, "head", None), nn.Module):
        raise _wrong(name, "it has no attribute `head`, the layer that gives the outputs")
    network.input_shape = input_shape  # type: ignore[assignment]
    _check_output(network, name, input_shape, classes)
    return network


def _check_output(
    network: nn.Module, name: str, input_shape: tuple[int, int, int], classes: int
) -> None:
    was_training = network.training
    network.eval()
    with torch.no_grad():
        output = network(torch.zeros(2, *input_shape))
    network.train(was_training)
    shape = tuple(output.shape) if torch.is_tensor(output) else None
    if shape != (2, classes):
        raise _wrong(
            name,
            f"for an input of shape {(2, *input_shape)} it gives "
            f"{shape or type(output).__name__}, not {(2, classes)}",
        )


def _wrong(name: str, why: str) -> RecipeError:
    return RecipeError(
        f"what `{name}` makes is no network for this recipe",
        where=f"network.type: {name}",
        why=why,
        do="return a torch.nn.Module whose last layer is `head`, with one output per class",
    )
