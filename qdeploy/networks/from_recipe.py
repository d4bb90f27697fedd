"""From a recipe to a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import nn

from qdeploy.data.load import known_facts
from qdeploy.networks.fewer_channels import narrow_norms
from qdeploy.plugins import of_others
from qdeploy.quant.layers import LayerFactory
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.networks import NETWORKS, NetworkSection

Build = Callable[[NetworkSection, LayerFactory, tuple[int, int, int], int], nn.Module]


def build_network(
    recipe: Recipe,
    quantized: bool,
    *,
    shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> nn.Module:
    """The recipe's network with weights drawn from the recipe's seed.

    Its input is float32 (N, C, H, W), codes · 2**-input_bits, its output logits (N, classes), for
    segmentation (N, classes, H', W'); the attribute `input_shape` is (C, H, W), and the last layer
    is the attribute `head`. The global random state is restored.

    Args:
        recipe: resolved.
        quantized: with Brevitas layers, or in float with the same names.
        shape: (channels, height, width); default: that of the recipe's data set.
        classes: number of classes; default: that of the data set.
        shapes: of the weights of a network that has lost channels, as `weight_shapes` gives them;
            default: what the recipe says.

    Raises:
        RecipeError: when the architecture does not suit the images, a pattern of
            `quantization.layers` matches no layer, or the data set's shape is not known.
        UserError: when the network is one of another package that cannot be imported.
        PluginError: code of another package, or of the user's own, raises.
    """
    if shape is None or classes is None:
        own_shape, own_classes = known_facts(recipe.data)
        shape, classes = shape or own_shape, classes or own_classes
    section = recipe.network
    build = cast(Build, NETWORKS.resolve(section.type, NETWORKS.load(section.type).build))
    make = LayerFactory(
        recipe.quantization,
        quantized,
        shapes=shapes or {},
        signed_input=recipe.data.signed_codes,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        with of_others(NETWORKS.owner(section.type)):
            network = build(section, make, shape, classes)
    make.check_patterns()
    if shapes:
        narrow_norms(network, shapes)
    return network
