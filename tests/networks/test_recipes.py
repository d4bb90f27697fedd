"""Every recipe in models/: it loads, builds, and one step reaches every weight."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from qdeploy.networks.registry import build_network
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource

RECIPES = sorted(resource("models").glob("*/*.yaml"))


def test_names_of_recipes_are_unique_so_that_runs_do_not_collide():
    names = Counter(load_recipe(path).name for path in RECIPES)
    assert max(names.values()) == 1, names.most_common(1)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_one_step_of_the_recipe_reaches_every_weight(path: Path):
    recipe = load_recipe(path)
    if path.parent.name != "mlperf_tiny":
        assert recipe.name == path.stem
    network = build_network(recipe, quantized=True).train()
    # A quarter of the image's height and width: the layers are the same, the step is quick.
    channels, height, width = network.input_shape
    resized = recipe.network.type in ("resnet", "mobilenetv2")
    size = (height // 4, width // 4) if resized else (height, width)
    logits = network(torch.rand(2, channels, *size))
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            grad = module.weight.grad
            assert grad is not None and bool(grad.isfinite().all()), name


def test_the_network_of_mlperf_tiny_has_its_published_size():
    recipe = load_recipe(resource("models/mlperf_tiny/resnet8_w2a2.yaml"))
    network = build_network(recipe, quantized=False)
    weights = sum(
        m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)
    )
    # Banbury et al. 2021, the reference model's nine convolutions and one fully connected layer:
    # 432 + 2·2304 + 4608 + 9216 + 512 + 18432 + 36864 + 2048 + 640.
    assert weights == 77_360
