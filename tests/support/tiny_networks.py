"""Untrained, calibrated networks that keep a family's structure and little else."""

from __future__ import annotations

from torch import nn

from qdeploy.networks.calibrated import calibrated_random
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource


def tiny_deeplab(
    shape: tuple[int, int, int] = (3, 12, 16), classes: int = 5, blocks: int = 2, seed: int = 0
) -> nn.Module:
    """MobileNetV2's features in two stages, output stride 4; the second has so many blocks and
    dilates its last one."""
    stages = (
        "[{expansion: 1, channels: 4, blocks: 1, stride: 2},"
        f" {{expansion: 2, channels: 4, blocks: {blocks}, stride: 2}}]"
    )
    changes = (
        "network.type=deeplab",
        "network.multiplier=1.0",
        "network.divisor=1",
        "network.stem_stride=2",
        "network.output_stride=4",
        "network.stem_channels=4",
        "network.top_channels=8",
        f"network.stages={stages}",
    )
    recipe = load_recipe(resource("models/boo2020/mobilenetv2_x0.25_w2a2.yaml"), changes)
    return calibrated_random(recipe, seed, shape=shape, classes=classes)


def tiny_bottleneck(
    block: str = "bottleneck", shape: tuple[int, int, int] = (1, 17, 20), classes: int = 5
) -> nn.Module:
    """Four groups of one bottleneck block after a 7x7 stem with padded max-pool."""
    changes = (
        f"network.block={block}",
        "network.depth=null",
        "network.blocks=[1,1,1,1]",
        "network.width=2",
        "network.stem=7x7-pool",
    )
    recipe = load_recipe(resource("models/boo2020/resnet8_w2a2.yaml"), changes)
    return calibrated_random(recipe, shape=shape, classes=classes)
