"""A small residual network in float with well-distributed values, frames for it, and its quantized
twin before calibration."""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.networks.calibrated import pattern_frames
from qdeploy.networks.from_recipe import build_network
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.resources import resource

SHAPE, CLASSES = (2, 12, 12), 5


def recipe(*changes: str) -> Recipe:
    """A ResNet-8 of width 4, with one weight scale for each channel."""
    usual = ("network.width=4", "quantization.weight_scaling=per_channel")
    return load_recipe(resource("models/boo2020/resnet8_w2a2.yaml"), [*usual, *changes])


def frames(count: int, seed: int = 0) -> torch.Tensor:
    """Network input (count, *SHAPE)."""
    return pattern_frames(SHAPE, count, seed).float() / 256


def float_network(of: Recipe) -> nn.Module:
    """In evaluation mode; batch norms have the statistics of frames, and gains from 0.3 to 3."""
    network = build_network(of, quantized=False, shape=SHAPE, classes=CLASSES)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            gains = torch.rand(module.num_features, generator=generator) * 2.3 - 1.2
            module.weight.data = torch.exp(gains)
            module.bias.data = 0.3 * torch.randn(module.num_features, generator=generator)
    with torch.no_grad():
        network.train()(frames(48))
    return network.eval()


def quantized_twin(of: Recipe, floating: nn.Module) -> nn.Module:
    """With the float network's weights, and no scale set."""
    twin = build_network(of, quantized=True, shape=SHAPE, classes=CLASSES)
    twin.load_state_dict(twin.state_dict() | floating.state_dict())
    return twin.eval()
