"""What cannot become hardware is refused before training, down to FINN and the backends."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qdeploy.dataflow.supported import check_hardware
from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.from_torch.trial import lower_untrained
from qdeploy.networks.from_recipe import build_network
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource

FAMILIES = {
    "dense": ("quickstart/digits_fcdnn_w2a2.yaml", "network.width=8"),
    "residual dense": ("quickstart/digits_fcdnn_w2a2.yaml", "network.residual=true"),
    "convnet": ("quickstart/fashion_convnet_w2a2.yaml",),
    "basic": ("boo2020/resnet8_w2a2.yaml", "network.width=4"),
    "preact": ("boo2020/resnet8_preact_w2a2.yaml", "network.width=4"),
    "depthwise": ("boo2020/resnet29_depthwise_w2a2.yaml", "network.depth=11", "network.width=2"),
    "8-bit residual stream": (
        "boo2020/resnet8_w2a2.yaml",
        "network.width=4",
        "quantization.residual_bits=8",
    ),
    "segmentation": (
        "camvid/mobilenetv2_deeplab_w4a4.yaml",
        "network.multiplier=0.1",
        "network.divisor=4",
    ),
    "keywords": ("fsdd/spoken_digits_resnet8_w2a2.yaml", "network.width=4"),
    "ternary with 8-bit signals": ("sung2015/cnn_8-8-16_ternary.yaml", "network.hidden=[8]"),
    "two inputs": ("boo2020/fcdnn128-4_residual_w2a2.yaml", "network.width=8"),
    "four groups, four levels": (
        "boo2020/imagenet_resnet18_x1.4_w2a2.yaml",
        "network.width=2",
        "network.blocks=[1,1,1,1]",
    ),
    "binary": ("boo2020/resnet8_w2a2.yaml", "network.width=4", "quantization.weight_bits=1"),
}


# The layers are the same on a part of the image.
SMALLER = {"segmentation": (3, 48, 64), "four groups, four levels": (3, 64, 64)}


def network_of(name: str) -> nn.Module:
    path, *changes = FAMILIES[name]
    recipe = load_recipe(resource(f"models/{path}"), changes)
    return build_network(recipe, quantized=True, shape=SMALLER.get(name))


@pytest.mark.parametrize("name", FAMILIES)
def test_untrained_networks_of_every_family_can_become_hardware(name: str) -> None:
    network = network_of(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    check_hardware(network)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


class EndsInMap(nn.Module):
    """Another network, cut behind its features, with their codes flattened at the end."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.flatten = network, nn.Flatten()
        self.input_shape = network.input_shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.flatten(
            self.network.stage3(
                self.network.stage2(self.network.stage1(self.network.input_quant(x)))
            )
        )


def test_what_only_the_hardware_lacks_is_refused_before_training_too() -> None:
    network = EndsInMap(network_of("convnet"))
    assert lower_untrained(network).nodes
    with pytest.raises(UnsupportedLayerError, match="layer `flatten`") as caught:
        check_hardware(network)
    assert caught.value.why and caught.value.do


def test_features_of_the_whole_image_beside_those_of_its_pixels_are_refused() -> None:
    recipe = load_recipe(
        resource("models/boo2020/deeplab_mobilenetv2_pooled_w4a4.yaml"),
        ("network.multiplier=0.1", "network.divisor=4", "network.top_channels=8"),
    )
    network = build_network(recipe, quantized=True, shape=(3, 48, 48))
    with pytest.raises(
        UnsupportedLayerError, match=r"layer `expand`.* Expand has no hardware"
    ) as caught:
        check_hardware(network)
    assert caught.value.do
