"""What cannot become hardware is refused before training, down to FINN and the backends."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qdeploy.dataflow.supported import check_hardware
from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.supported import check_network
from qdeploy.networks.registry import build_network
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
    "binary": ("boo2020/resnet8_w2a2.yaml", "network.width=4", "quantization.weight_bits=1"),
}


def network_of(name: str) -> nn.Module:
    path, *changes = FAMILIES[name]
    return build_network(load_recipe(resource(f"models/{path}"), changes), quantized=True)


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
    assert check_network(network).nodes
    with pytest.raises(UnsupportedLayerError, match="layer `flatten`") as caught:
        check_hardware(network)
    assert caught.value.why and caught.value.do
