"""Every recipe in models/: it loads, builds, and one step reaches every weight."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from qdeploy.data.registry import data_spec
from qdeploy.networks.registry import build_network
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.papers import recipes
from qdeploy.resources import resource

RECIPES = recipes()
# Networks with a mean over the map in the end, or none: height and width of the image are free.
FREE = {"resnet", "mobilenetv2", "deeplab"}
LARGE = 96  # from this many pixels a side on a small part of the image is enough


def part(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """A quarter of a small image's sides, else 32 pixels: the same layers, and quick."""
    channels, height, width = shape
    return (channels, *(32 if side >= LARGE else max(4, side // 4) for side in (height, width)))


def test_names_of_recipes_are_unique_so_that_runs_do_not_collide():
    names = Counter(load_recipe(path).name for path in RECIPES)
    assert max(names.values()) == 1, names.most_common(1)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_one_step_of_the_recipe_reaches_every_weight(path: Path):
    recipe = load_recipe(path)
    if path.parent.name != "mlperf_tiny":
        assert recipe.name == path.stem
    spec = data_spec(recipe.data)
    shape = part(spec.shape) if recipe.network.type in FREE else spec.shape
    network = build_network(recipe, quantized=True, shape=shape).train()
    logits = network(torch.rand(2, *shape))
    labels = torch.arange(logits[:, 0].numel()).reshape(logits[:, 0].shape) % 2
    loss = nn.functional.cross_entropy(logits, labels)
    assert bool(loss.isfinite())
    loss.backward()
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
