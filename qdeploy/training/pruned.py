"""A network without the channels whose gates a phase has closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from qdeploy.errors import RecipeError
from qdeploy.networks.channels import Channels, channels_of
from qdeploy.networks.fewer_channels import (
    layer_channels,
    narrowed_shapes,
    narrowed_state,
    weight_shapes,
)
from qdeploy.networks.from_recipe import build_network
from qdeploy.observer import ignore
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.pruning import Pruning
from qdeploy.training.methods.pruning import Gates, chosen
from qdeploy.training.quantize import trainable

# What a network of another package may raise where its channels are other than it expects.
MISFITS = (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError)


def channels_in(recipe: Recipe, state: Mapping[str, torch.Tensor]) -> Channels:
    """The channels of the recipe's network, float or quantized, with the state of its weights.

    Raises:
        RecipeError: for a network that cannot be pruned.
    """
    floating = build_network(recipe, quantized=False, shapes=weight_shapes(state))
    shape: tuple[int, int, int] = floating.input_shape  # type: ignore[assignment]
    return channels_of(floating, shape)


def without_closed_channels(
    recipe: Recipe,
    settings: Pruning,
    network: nn.Module,
    *,
    quantized: bool,
    note: Callable[[str], None] = ignore,
) -> nn.Module:
    """The network that computes the same as `network` with fewer channels.

    Args:
        recipe: with the bit widths of `network`.
        settings: of the phase that has closed gates.
        network: left alone.
        quantized: whether it is.
        note: hears how many channels are gone.
    """
    state = network.state_dict()
    channels = channels_in(recipe, state)
    closed = chosen(Gates(network, channels).sizes().cpu(), channels, settings, 0.0)
    shapes = narrowed_shapes(channels, closed)
    made = trainable(recipe, quantized=quantized, shapes=shapes)
    made.load_state_dict(narrowed_state(channels, closed, state, made.state_dict()))
    able = int(channels.removable.sum())
    weights = [sum(p.numel() for p in one.parameters()) for one in (network, made)]
    note(
        f"pruned {int(closed.sum())} of {able} channels, {weights[0]:,} -> {weights[1]:,} "
        f"parameters; left: {_sentence(made)}"
    )
    return made.to(next(network.parameters()).device)


def check_network(recipe: Recipe) -> None:
    """Refuse, before training, a network that cannot be pruned as the recipe wants.

    Raises:
        RecipeError: names the phase.
    """
    phase = next((one for one in recipe.phases if one.pruning is not None), None)
    if phase is None or phase.pruning is None:
        return
    settings, where = phase.pruning, f"phases.{phase.name}.pruning"
    network = build_network(recipe, quantized=False)
    channels = channels_in(recipe, network.state_dict())
    able = int(channels.removable.sum())
    if able == 0:
        raise RecipeError(
            "the network cannot be pruned: none of its layers has batch norm after it",
            where=where,
            why="scale and shift of the norms are the gates of channels",
            do="remove `pruning`, or put batch norm after the layers",
        )
    gates = Gates(network, channels)
    most = int(chosen(gates.sizes(), channels, settings, 1.0).sum())
    if most < settings.target * able:
        raise RecipeError(
            f"the target {settings.target} of `{phase.name}` would empty layers: at most {most} of "
            f"{able} channels can be removed, a share of {most / able:.2f}",
            where=f"{where}.target",
            why=f"each layer keeps at least {settings.min_channels} channels, and a multiple of "
            f"{settings.multiple_of}",
            do="choose a lower target, or less of `min_channels` and `multiple_of`",
        )
    gates.scale((~chosen(gates.sizes(), channels, settings, settings.target)).float())
    try:
        made = without_closed_channels(recipe, settings, network, quantized=False)
        made.eval()(torch.zeros(1, *network.input_shape))  # type: ignore[misc]
    except MISFITS as error:
        raise RecipeError(
            "the network cannot be pruned: it does not work with fewer channels",
            where=where,
            why=next(iter(str(error).splitlines()), type(error).__name__),
            do="make its layers with the factory it is given, and take sizes from tensors",
        ) from error


def _sentence(network: nn.Module) -> str:
    return ", ".join(f"{name} {n[0]}x{n[1]}" for name, n in layer_channels(network).items())
