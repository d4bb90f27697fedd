"""Mistakes people make, in PyTorch and in QONNX files, and the message they read.

Each names the node and its layer, what was expected around it, and what to change.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.refusal import OPERATORS
from qdeploy.lowering.from_torch.trial import lower_untrained
from qdeploy.lowering.integers.lower import lower

Write = Callable[..., Path]
Quant = Callable[..., onnx.NodeProto]
CURVE = "to batch norm or bias, then to ReLU or another activation that never falls"
RISING = "batch norm -> an activation that never falls -> quantizer"
WEIGHTED = "quantized weights -> batch norm or bias -> ReLU -> quantizer"


class Mistaken(nn.Module):
    """An ordinary beginning and end, and between them whatever `middle` does."""

    input_shape = (2, 6, 6)

    def __init__(self, make: Any, middle: Callable[..., torch.Tensor], features: int) -> None:
        super().__init__()
        self.middle = middle
        self.input_quant = make.input()
        self.conv1, self.norm, self.act = make.conv(2, 4, padding=1), nn.BatchNorm2d(4), make.relu()
        self.conv2, self.act2 = make.conv(4, 4, padding=1), make.relu()
        self.conv3 = make.conv(4, 4, padding=1)
        self.flatten, self.head = nn.Flatten(), make.linear(features, 3, last=True)
        self.sigmoid, self.softmax = nn.Sigmoid(), nn.Softmax(dim=1)
        self.average = nn.AvgPool2d(3, 2)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.norm3 = nn.InstanceNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 4, 3, bias=False)
        self.plain, self.plain_head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(features, 3)

    def front(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.norm(self.conv1(self.input_quant(x))))

    def back(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.flatten(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.middle(self, x)


# What is done, features before the head; layer and operator; found, expected, what to do.
MISTAKES: dict[str, tuple[Callable[..., Any], int, str, str, str, str]] = {
    "softplus": (
        lambda n, x: n.back(nn.functional.softplus(n.front(x))),
        144,
        "`softplus`|(Softplus)",
        "Softplus has no hardware here",
        CURVE,
        "use QuantReLU",
    ),
    "gelu": (
        lambda n, x: n.back(nn.functional.gelu(n.front(x))),
        144,
        "`erf`|(Erf)",
        "Erf has no hardware here",
        CURVE,
        "use QuantReLU",
    ),
    "softmax in the middle": (
        lambda n, x: n.back(n.softmax(n.front(x))),
        144,
        "`softmax`|(Softmax)",
        "Softmax has no hardware here",
        CURVE,
        "end the network at the logits",
    ),
    "no quantizer between convolutions": (
        lambda n, x: n.back(n.act2(n.conv3(n.conv2(n.front(x))))),
        144,
        "`conv3`|(Conv)",
        "its input is not quantized: it is the sums of layer `conv2`",
        f"codes -> Conv2d with {WEIGHTED}",
        "put a quantized activation",
    ),
    "torch.relu instead of QuantReLU": (
        lambda n, x: n.back(n.act2(n.conv3(torch.relu(n.conv2(n.front(x)))))),
        144,
        "`conv3`|(Conv)",
        "its input is not quantized: it is the sums of layer `conv2`",
        f"codes -> Conv2d with {WEIGHTED}",
        "QuantReLU",
    ),
    "no quantizer before Flatten": (
        lambda n, x: n.back(n.conv2(n.front(x))),
        144,
        "`flatten`|(Flatten)",
        "before the quantizer",
        "quantizer -> Flatten -> Linear",
        "flatten after the activation",
    ),
    "overlapping average pool": (
        lambda n, x: n.back(nn.functional.avg_pool2d(n.front(x), 3, 2, ceil_mode=True)),
        36,
        "`averagepool`|(AveragePool)",
        "windows that reach beyond the padding",
        "quantizer -> average over the whole map or windows -> the next layer",
        "count_include_pad=False",
    ),
    "concat": (
        lambda n, x: (lambda y: n.back(torch.cat([y, n.act2(n.conv2(y))], 2)))(n.front(x)),
        288,
        "`concat`|(Concat)",
        "it joins along axis 2",
        "codes of maps of one size -> Concat along the channels",
        "use axis=1",
    ),
    "transposed convolution": (
        lambda n, x: n.back(n.up(n.front(x))),
        256,
        "`up`|(ConvTranspose)",
        "its weights are not quantized",
        f"codes -> ConvTranspose2d with {WEIGHTED}",
        "use QuantConv2d or QuantLinear",
    ),
    "float convolution": (
        lambda n, x: n.back(n.plain(n.front(x))),
        144,
        "`plain`|(Conv)",
        "its weights are not quantized",
        f"codes -> Conv2d with {WEIGHTED}",
        "use QuantConv2d or QuantLinear",
    ),
    "float linear": (
        lambda n, x: n.plain_head(n.flatten(n.front(x))),
        144,
        "`plain_head`|(MatMul)",
        "its weights are not quantized",
        f"codes -> Linear with {WEIGHTED}",
        "use QuantConv2d or QuantLinear",
    ),
    "squeeze and excite": (
        lambda n, x: (lambda y: n.back(y * n.squeeze(y)))(n.front(x)),
        144,
        "`mul`|(Mul)",
        "a Mul of 2 branches",
        "one factor and one term for each channel",
        "residual sums",
    ),
    "instance norm": (
        lambda n, x: n.back(n.norm3(n.front(x))),
        144,
        "`norm3`|(InstanceNormalization)",
        "InstanceNormalization has no hardware here",
        CURVE,
        "use batch norm",
    ),
    "slice": (
        lambda n, x: n.back(n.front(x)[:, :2]),
        72,
        "`slice`|(Slice)",
        "Slice has no hardware here",
        "only codes go on",
        "convolution of kernel 1",
    ),
    "sum without quantizers": (
        lambda n, x: (lambda y: n.back(n.act2(nn.functional.relu(n.conv2(y)) + y)))(n.front(x)),
        144,
        "`add`|(Add)",
        "one of its two inputs is not quantized (from layer `conv2`)",
        "one shared quantizer on both branches -> their sum",
        "put a quantizer",
    ),
    "sum of two quantizers": (
        lambda n, x: (lambda y: n.back(n.act2(n.conv2(0.3 * y)) + y))(n.front(x)),
        144,
        "`add`|(Add)",
        "different scales",
        "one shared quantizer on both branches",
        "put the same quantizer",
    ),
    "no input quantizer": (
        lambda n, x: n.back(n.act(n.conv1(x))),
        144,
        "`conv1`|(Conv)",
        "reads the network's input before it is quantized",
        f"codes -> Conv2d with {WEIGHTED}",
        "QuantIdentity",
    ),
    "float end": (
        lambda n, x: torch.relu(n.back(n.front(x)) + 0.1),
        144,
        "`relu`|(Relu)",
        "ends in a ReLU without quantizer",
        "logits",
        "end at the sums of the last layer",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_pytorch_is_named_with_what_was_expected(name: str, layers: Any) -> None:
    torch.manual_seed(0)
    middle, features, place, found, expected, do = MISTAKES[name]
    layer, kind = place.split("|")
    network = Mistaken(layers("float", False, 2, 2), middle, features)
    with pytest.raises(UnsupportedLayerError) as caught:
        lower_untrained(network)
    error = caught.value
    first, *rest = error.render().splitlines()
    assert first.startswith(f"layer {layer} cannot become hardware: ") and found in first
    assert rest[0].startswith("  where    node `/") and rest[0].endswith(kind)
    assert rest[1].startswith("  expected ") and expected in rest[1]
    assert rest[-1].startswith("  do this  ") and do in rest[-1]


CONSTANTS: dict[str, Any] = {
    "zero": np.float32(0),
    "one": np.float32(1),
    "two": np.float32(2),
    "eight": np.float32(8),
    "byte": np.float32(1 / 256),
    "scale": np.float32(0.25),
    "several": np.array([[0.25, 0.3, 0.1, 0.7]], np.float32),
    "column": np.full((1, 1, 4), 0.25, np.float32),
    "weights": np.arange(-8, 8, dtype=np.float32).reshape(4, 4) / 4,
}


def dense(quant: Quant, *following: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The input's codes and one matrix product, `sums`; then what is given."""
    return [
        quant("x", "xq", "byte", "eight", signed=0),
        quant("weights", "wq", "scale", "two"),
        helper.make_node("MatMul", ["xq", "wq"], ["sums"], "fc"),
        *following,
    ]


FILES: dict[str, tuple[Callable[[Quant], list[onnx.NodeProto]], str, str, str, str]] = {
    "softsign": (
        lambda q: dense(q, helper.make_node("Softsign", ["sums"], ["out"], "squash")),
        "`squash`",
        "Softsign has no hardware",
        CURVE,
        "QuantReLU",
    ),
    "an operator nobody knows": (
        lambda q: dense(q, helper.make_node("Sin", ["sums"], ["out"], "wave")),
        "`wave`",
        "Sin has no hardware",
        CURVE,
        "build the network from quantized Conv2d and Linear",
    ),
    "float weights": (
        lambda q: [
            q("x", "xq", "byte", "eight", signed=0),
            helper.make_node("MatMul", ["xq", "weights"], ["out"], "fc"),
        ],
        "`fc`",
        "its weights are not quantized",
        f"codes -> Linear with {WEIGHTED}",
        "a Quant node after the weights",
    ),
    "an unknown rounding": (
        lambda q: dense(q, q("sums", "out", "scale", "two", rounding_mode="STOCHASTIC")),
        "`quant_out`",
        "it rounds by STOCHASTIC",
        "-> quantizer ->",
        "HALF_EVEN, HALF_UP",
    ),
    "a zero point between codes": (
        lambda q: dense(q, q("sums", "out", "scale", "two", zero="scale")),
        "`quant_out`",
        "the zero point 0.25",
        "-> quantizer ->",
        "use an integer as zero point",
    ),
    "a slope below zero": (
        lambda q: dense(q, helper.make_node("LeakyRelu", ["sums"], ["out"], "bend", alpha=-0.5)),
        "`bend`",
        "a negative slope (-0.5)",
        RISING,
        "slopes at zero or above",
    ),
    "two scales within a channel": (
        lambda q: dense(q, q("sums", "out", "column", "two")),
        "`quant_out`",
        "a constant of shape (1, 1, 4)",
        "-> quantizer ->",
        "one for each channel",
    ),
    "a width from the frame": (
        lambda q: dense(q, q("sums", "out", "sums", "two")),
        "`quant_out`",
        "computed at run time",
        "-> quantizer ->",
        "constants instead",
    ),
    "one scale per channel before a layer": (
        lambda q: dense(
            q,
            q("sums", "codes", "several", "two"),
            helper.make_node("MatMul", ["codes", "wq"], ["out"], "fc2"),
        ),
        "`fc2`",
        "one scale per channel",
        f"codes -> Linear with {WEIGHTED}",
        "one scale for the activations",
    ),
    "two layers without quantizer": (
        lambda q: dense(q, helper.make_node("MatMul", ["sums", "wq"], ["out"], "fc2")),
        "`fc2`",
        "its input is not quantized: it is the sums of layer `fc`",
        f"codes -> Linear with {WEIGHTED}",
        "before it",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_mistake_in_a_file_is_named_with_what_was_expected(
    name: str, write_qonnx: Write, quant_node: Quant
) -> None:
    nodes, layer, found, expected, do = FILES[name]
    path = write_qonnx(nodes(quant_node), CONSTANTS, (1, 4), (1, 4))
    with pytest.raises(UnsupportedLayerError) as caught:
        lower(path)
    error = caught.value
    assert f"layer {layer} cannot become hardware" in error.what and found in error.what
    assert error.where is not None and f"node {layer}" in error.where
    assert error.expected is not None and expected in error.expected
    assert error.do is not None and do in error.do


def test_two_outputs_are_named_before_training(layers: Any) -> None:
    def both(n: Mistaken, x: torch.Tensor) -> Any:
        y = n.front(x)
        return n.back(y), y

    with pytest.raises(UnsupportedLayerError, match="the network Mistaken has 1 inputs and 2") as e:
        lower_untrained(Mistaken(layers("float", False, 2, 2), both, 144))
    assert e.value.where is not None and "forward" in e.value.where


def test_every_operator_without_hardware_has_a_reason_and_an_advice() -> None:
    assert all(why and do for why, do in OPERATORS.values())
