"""Strided 1x1 convolutions of few channels train, with the gradients of any other."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from qdeploy.recipe.models import Recipe
from qdeploy.training.narrow_shortcuts import spare_narrow_shortcuts
from qdeploy.training.quantize import trainable

# In a process of its own: what torch writes beyond its memory aborts it some allocations later.
STEPS = """
import torch
from qdeploy.recipe.models import Recipe
from qdeploy.training.quantize import trainable
recipe = Recipe.model_validate({recipe})
torch.manual_seed(0)
network, kept = trainable(recipe, quantized=False), []
for step in range(40):
    images = torch.rand(128, 1, 8, 8).contiguous(memory_format=torch.channels_last)
    network(images).sum().backward()
    kept.append([torch.rand(17 + step) for _ in range(50)])
"""


def recipe(width: int) -> dict[str, object]:
    return {
        "name": "narrow",
        "network": {"type": "resnet", "block": "basic", "depth": 8, "width": width},
        "data": {"name": "digits"},
        "phases": [
            {"name": "float", "kind": "pretrain", "epochs": 1},
            {"name": "direct", "kind": "direct"},
        ],
    }


@pytest.mark.parametrize("width", [2, 4])
def test_a_residual_network_of_few_channels_trains_without_harm_to_the_process(width):
    code = STEPS.format(recipe=recipe(width))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize("channels", [1, 4, 7])
def test_results_and_gradients_are_those_of_the_strided_convolution(channels):
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(channels, 6, 1, stride=(2, 3), bias=True)).double()
    plain, images = copy.deepcopy(layer), torch.rand(5, channels, 9, 10, dtype=torch.float64)
    spare_narrow_shortcuts(layer)
    copied = copy.deepcopy(layer)
    with torch.no_grad():
        copied[0].weight.zero_()  # a copy has weights of its own
    found = []
    for network in (layer, plain):
        x = images.clone().requires_grad_()
        y = network(x)
        (y * y).sum().backward()
        found.append([y, x.grad, network[0].weight.grad, network[0].bias.grad])
    for ours, torchs in zip(*found, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(layer(images), plain(images))


def test_only_layers_that_are_concerned_are_touched():
    network = trainable(Recipe.model_validate(recipe(8)), quantized=True)
    assert not any("_conv_forward" in vars(module) for module in network.modules())
    narrow = trainable(Recipe.model_validate(recipe(4)), quantized=True)
    touched = [m for m in narrow.modules() if "_conv_forward" in vars(m)]
    assert [m.in_channels for m in touched] == [4]
