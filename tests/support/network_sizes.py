"""Recipes' networks without memory for their weights, and what they amount to."""

from pathlib import Path

import torch
from torch import nn

from qdeploy.networks.from_recipe import build_network
from qdeploy.recipe.loading import load_recipe


def network_of(path: Path, *overrides: str) -> nn.Module:
    """The float network of a recipe on the meta device."""
    recipe = load_recipe(path, overrides)
    with torch.device("meta"):
        return build_network(recipe, quantized=False)


def numbers(network: nn.Module, counted: str) -> int:
    """Trained parameters, or all with the means and variances of batch norm."""
    if counted == "trained":
        return sum(p.numel() for p in network.parameters())
    return sum(t.numel() for n, t in network.state_dict().items() if "tracked" not in n)


def multiplications(network: nn.Module) -> int:
    """Of one image, in layers with weights."""
    counts = []

    def count(layer: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        counts.append(output[0].numel() * layer.weight[0].numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, *network.input_shape, device="meta"))
    return sum(counts)
