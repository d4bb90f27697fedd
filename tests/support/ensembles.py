"""Ensembles of untrained, calibrated networks: small ones of each family, for builds in tests."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from qdeploy.build.source import NetworkSource
from qdeploy.ensemble.compose import compose, integers_of
from qdeploy.ensemble.make import vote_of
from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource

SHAPE = (1, 8, 10)
INPUT_BITS = 4
FRAMES = 40
# Recipe and changes of each family.
FAMILIES = {
    "mlp": (
        "models/quickstart/digits_fcdnn_w2a2.yaml",
        ("network.width=8", "network.depth=1"),
    ),
    "deep-mlp": (
        "models/quickstart/digits_fcdnn_w2a2.yaml",
        ("network.width=8", "network.depth=6"),
    ),
    "convnet": (
        "models/mnist/mnist_convnet_w2a2.yaml",
        ("network.stages=[{channels: 4, kernel: 5, pool: 2}]", "network.hidden=[8]"),
    ),
    "resnet": (
        "models/boo2020/resnet8_w2a2.yaml",
        ("network.depth=null", "network.blocks=[1,1]", "network.width=2"),
    ),
}


def frames() -> torch.Tensor:
    """Bytes, uint8 (FRAMES, *SHAPE)."""
    return pattern_frames(SHAPE, FRAMES, seed=1)


def inputs() -> torch.Tensor:
    """What the networks read of `frames`."""
    return (frames() >> (8 - INPUT_BITS)).float() * 2.0**-INPUT_BITS


def member(family: str, seed: int, *changes: str) -> nn.Module:
    """A network of 4 classes; `changes` of its recipe."""
    recipe, own = FAMILIES[family]
    settings = [*own, f"quantization.input_bits={INPUT_BITS}", *changes]
    return calibrated_random(load_recipe(resource(recipe), settings), seed, shape=SHAPE, classes=4)


def ensemble(networks: Sequence[nn.Module], images: torch.Tensor | None = None) -> nn.Module:
    """The networks' ensemble, its grid chosen on these inputs, by default `inputs`."""
    graphs = [integers_of(network, "member") for network in networks]
    vote, _ = vote_of(networks, graphs, inputs() if images is None else images)
    return compose(networks, vote.factors, vote.bits, vote.step, vote.rank)


def source(network: nn.Module) -> NetworkSource:
    """What a build of it starts from."""
    return NetworkSource("ensemble", network, frames().numpy(), input_bits=INPUT_BITS)
