"""From a recipe to a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from qdeploy.data.registry import data_spec
from qdeploy.networks.convnet import Convnet
from qdeploy.networks.fcdnn import Fcdnn
from qdeploy.quant.layers import LayerFactory
from qdeploy.recipe.models import Recipe

NETWORKS: dict[str, Callable[..., nn.Module]] = {"fcdnn": Fcdnn, "convnet": Convnet}


def build_network(recipe: Recipe, quantized: bool) -> nn.Module:
    """The recipe's network with weights drawn from the recipe's seed.

    It takes float32 (N, C, H, W), codes · 2**-input_bits, and gives logits (N, classes); the
    attribute `input_shape` is (C, H, W). The global random state is left as it was.

    Raises:
        RecipeError: when the architecture does not fit the data set's images.
    """
    spec = data_spec(recipe.data.name)
    section: Any = recipe.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return NETWORKS[section.type](
            section, LayerFactory(recipe.quantization, quantized), spec.shape, spec.classes
        )
