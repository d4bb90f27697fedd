"""What cannot become hardware is refused by name, with the reason and what would be accepted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Conv, Dense
from qdeploy.lowering.from_torch.trial import lower_untrained
from qdeploy.lowering.integers.lower import lower

Write = Callable[..., Path]
Quant = Callable[..., onnx.NodeProto]
CONSTANTS: dict[str, Any] = {
    "zero": np.float32(0),
    "one": np.float32(1),
    "two": np.float32(2),
    "eight": np.float32(8),
    "byte": np.float32(1 / 256),
    "scale": np.float32(0.25),
    "weights": np.arange(-8, 8, dtype=np.float32).reshape(4, 4) / 4,
}


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
        "sigmoid": (nn.Sigmoid(), 256, False, "layer `odd`.*Sigmoid has no hardware"),
        "average": (nn.AvgPool2d(2), 64, False, "layer `odd`.*does not cover the whole map"),
        "dilated pool": (
            nn.MaxPool2d(2, 2, dilation=2),
            36,
            False,
            "layer `odd`.*max-pool with dilation",
        ),
        "early pool": (
            nn.MaxPool2d(2),
            64,
            True,
            "layer `odd`.*before the quantizer",
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
        *("sigmoid", "average", "dilated pool", "early pool"),
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


def test_per_channel_logits_are_refused(layers: Any) -> None:
    make = layers("float", True, 4, 2)
    network = nn.Sequential(make.input(), nn.Flatten(), make.linear(16, 4))
    with pytest.raises(UnsupportedLayerError, match="one scale per output channel") as caught:
        lower_untrained(network, (1, 4, 4))
    assert caught.value.do is not None and "per layer" in caught.value.do


def test_a_network_without_shape_says_so() -> None:
    with pytest.raises(UnsupportedLayerError, match="does not say what it takes"):
        lower_untrained(nn.Linear(2, 2))


def dense_file(write: Write, quant: Quant, **changes: Any) -> Path:
    """x -> Quant -> MatMul -> Quant, with some constants or attributes changed."""
    signed = changes.pop("signed", 0)
    rounding = changes.pop("rounding_mode", "ROUND")
    first = changes.pop("first", True)
    constants = {**CONSTANTS, **changes}
    constants["act_scale"] = constants.get("act_scale", np.float32(0.5))
    constants["act_bits"] = constants.get("act_bits", np.float32(2))
    constants["act_zero"] = constants.get("act_zero", np.float32(0))
    nodes = [
        quant("x", "xq", "byte", "eight", signed=0),
        quant("weights", "wq", "scale", "eight"),
        helper.make_node("MatMul", ["xq" if first else "x", "wq"], ["sum"], "matmul"),
        quant(
            *("sum", "out", "act_scale", "act_bits", signed),
            zero="act_zero",
            rounding_mode=rounding,
            narrow=0,
        ),
    ]
    return write(nodes[0 if first else 1 :], constants, (1, 4), (1, 4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"act_scale": np.float32(0)}, "has the scale 0"),
        ({"act_scale": np.float32(-1)}, "has the scale -1"),
        ({"act_scale": np.float32("nan")}, "has the scale nan"),
        ({"act_scale": np.float32("inf")}, "has the scale inf"),
        ({"scale": np.float32(0)}, "has the scale 0"),
        ({"act_scale": np.ones((1, 4), np.float32)}, "one scale per channel"),
        ({"act_zero": np.float32(1)}, "zero point 1"),
        ({"act_bits": np.float32(9)}, "9 bits"),
        ({"act_bits": np.float32(2.5)}, "2.5 bits"),
        ({"act_bits": np.float32(1), "signed": 1}, "1 bits, signed"),
        ({"rounding_mode": "FLOOR"}, "rounds by FLOOR"),
        ({"first": False}, "before it is quantized"),
        ({"scale": np.array([[1.0], [2], [1], [1]], np.float32)}, "within an output channel"),
        ({"weights": np.full((4, 4), np.nan, np.float32)}, "not finite"),
        ({"weights": np.ones((3, 4), np.float32)}, "matrix product"),
    ],
)
def test_a_quantizer_that_cannot_be_followed_is_named(
    changes: dict[str, Any], message: str, write_qonnx: Write, quant_node: Quant
) -> None:
    path = dense_file(write_qonnx, quant_node, **changes)
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        lower(path)
    assert caught.value.where is not None and caught.value.do is not None


def test_the_plain_file_of_these_refusals_is_accepted(
    write_qonnx: Write, quant_node: Quant
) -> None:
    assert len(lower(dense_file(write_qonnx, quant_node)).nodes) == 2


def test_an_accumulator_beyond_32_bits_is_refused(write_qonnx: Write, quant_node: Quant) -> None:
    constants = {**CONSTANTS, "wide": np.float32(32), "weights": np.full((4, 4), 2.0**29)}
    constants["weights"] = constants["weights"].astype(np.float32)
    nodes = [
        quant_node("x", "xq", "byte", "eight", signed=0),
        quant_node("weights", "wq", "one", "wide"),
        helper.make_node("MatMul", ["xq", "wq"], ["out"], "matmul"),
    ]
    path = write_qonnx(nodes, constants, (1, 4), (1, 4))
    with pytest.raises(UnsupportedLayerError, match="accumulator needs 39 bits"):
        lower(path)


def test_a_file_with_two_outputs_is_refused(write_qonnx: Write, quant_node: Quant) -> None:
    nodes = [
        quant_node("x", "a", "byte", "eight", signed=0),
        quant_node("x", "b", "byte", "eight", signed=0),
    ]
    path = write_qonnx(nodes, CONSTANTS, (1, 4), (1, 4), outputs=("a", "b"))
    with pytest.raises(UnsupportedLayerError, match="1 inputs and 2 outputs"):
        lower(path)


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_a_file_that_is_no_network_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnsupportedLayerError, match=r"broken\.onnx"):
        lower(path)
