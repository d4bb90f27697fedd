"""A network is refused before its training, with the reason and what would be accepted."""

from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Conv, Dense
from qdeploy.lowering.from_torch.trial import lower_untrained


@pytest.fixture(autouse=True)
def weights_are_the_same_in_any_order_of_tests() -> None:
    """The scales of a residual sum are drawn, and where their ratio is a short fraction the sum is
    taken, but the accumulator after it has too many bits."""
    torch.manual_seed(0)


class Odd(nn.Module):
    """A network with one odd layer between two ordinary ones."""

    input_shape = (2, 8, 8)

    def __init__(self, make: Any, odd: nn.Module, features: int, before: bool = False) -> None:
        super().__init__()
        self.input_quant = make.input()
        self.conv = make.conv(2, 4, padding=1)
        self.act = make.relu()
        self.odd = odd
        self.before = before
        self.flatten = nn.Flatten()
        self.head = make.linear(features, 3, last=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(self.input_quant(x))
        x = self.act(self.odd(x)) if self.before else self.odd(self.act(x))
        return self.head(self.flatten(x))


class Residual(nn.Module):
    """Adds its input to its output."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.conv, self.act = make.conv(4, 4, padding=1), make.relu()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.act(self.conv(x))


def odd_layers(make: Any) -> dict[str, tuple[nn.Module, int, bool, str]]:
    return {
        "sigmoid": (nn.Sigmoid(), 256, False, "layer `head`.*such as Sigmoid.*no common grid"),
        "curve": (nn.SiLU(), 256, True, "layer `odd`.*branches"),
        "dilated pool": (
            nn.MaxPool2d(2, 2, dilation=2),
            36,
            False,
            "layer `odd`.*max-pool with dilation",
        ),
        "residual": (Residual(make), 256, False, "layer `odd`.*different scales"),
        "float conv": (nn.Conv2d(4, 4, 1), 256, False, "layer `odd`.*weights are not quantized"),
        "two convs": (make.conv(4, 4, padding=1), 256, True, "layer `odd`.*input is not quantized"),
        "negated": (Shift(factor=-1.0), 256, False, "padding|negative|zero padding"),
    }


class Shift(nn.Module):
    """x·factor + 1, then a padded convolution."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.pad = qnn.QuantConv2d(4, 4, 3, padding=1, bias=False, weight_bit_width=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.pad(x * self.factor + 1.0))


@pytest.mark.parametrize(
    "name",
    [
        *("sigmoid", "curve", "dilated pool"),
        *("residual", "float conv", "two convs", "negated"),
    ],
)
def test_a_network_is_refused_before_training_by_layer_and_reason(name: str, layers: Any) -> None:
    make = layers("float", False, 2, 2)
    odd, features, before, message = odd_layers(make)[name]
    network = Odd(make, odd, features, before)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        lower_untrained(network)
    assert caught.value.where is not None and "node `/" in caught.value.where
    assert caught.value.do
    assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_a_supported_network_passes_the_early_check(kind: str, make_network: Any) -> None:
    network = make_network(kind)
    graph = lower_untrained(network)
    layers = {name for name, module in network.named_modules() if hasattr(module, "weight_quant")}
    assert {node.layer for node in graph.nodes if isinstance(node, Conv | Dense)} == layers


def test_per_channel_logits_keep_their_scales(layers: Any) -> None:
    make = layers("float", True, 4, 2)
    network = nn.Sequential(make.input(), nn.Flatten(), make.linear(16, 4))
    graph = lower_untrained(network, (1, 4, 4))
    assert len(set(graph.head.gain)) == 4
    assert graph.head.scale is None and graph.tensors["logits"].scale is None


def test_a_network_without_shape_says_so() -> None:
    with pytest.raises(UnsupportedLayerError, match="does not say what it takes"):
        lower_untrained(nn.Linear(2, 2))
