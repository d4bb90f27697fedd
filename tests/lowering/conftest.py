"""Small quantized networks with random batch norm, negative gains included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from brevitas.core.scaling import ScalingImplType
from brevitas.quant import (
    Int8WeightPerTensorFixedPoint,
    Int8WeightPerTensorFloat,
    Uint8ActPerTensorFixedPoint,
    Uint8ActPerTensorFloat,
    Uint8ActPerTensorFloatMaxInit,
)
from brevitas.quant.fixed_point import Int8WeightPerChannelFixedPoint
from brevitas.quant.scaled_int import Int8WeightPerChannelFloat
from onnx import TensorProto, helper, numpy_helper
from torch import nn

WEIGHTS = {
    ("float", False): Int8WeightPerTensorFloat,
    ("float", True): Int8WeightPerChannelFloat,
    ("power_of_two", False): Int8WeightPerTensorFixedPoint,
    ("power_of_two", True): Int8WeightPerChannelFixedPoint,
}
ACTIVATIONS = {"float": Uint8ActPerTensorFloat, "power_of_two": Uint8ActPerTensorFixedPoint}


class ByteInput(Uint8ActPerTensorFloatMaxInit):
    """Scale 1/256, unsigned, 8 bits."""

    scaling_impl_type = ScalingImplType.CONST
    min_val = 0.0
    max_val = 255 / 256
    bit_width = 8


class Layers:
    """Makes quantized layers of one kind."""

    def __init__(self, scale: str, per_channel: bool, weight_bits: int, act_bits: int) -> None:
        self.scale, self.per_channel = scale, per_channel
        self.weight_bits, self.act_bits = weight_bits, act_bits

    def input(self) -> nn.Module:
        return qnn.QuantIdentity(act_quant=ByteInput, return_quant_tensor=False)

    def weights(self, bits: int, per_channel: bool) -> type:
        return WEIGHTS[self.scale, per_channel].let(bit_width=bits, narrow_range=True)

    def conv(self, inputs: int, outputs: int, bits: int | None = None, **kwargs: int) -> nn.Module:
        quant = self.weights(bits or self.weight_bits, self.per_channel)
        return qnn.QuantConv2d(inputs, outputs, 3, bias=False, weight_quant=quant, **kwargs)

    def linear(
        self, inputs: int, outputs: int, last: bool = False, bias: bool = False
    ) -> nn.Module:
        quant = self.weights(8 if last else self.weight_bits, self.per_channel and not last)
        return qnn.QuantLinear(inputs, outputs, bias=bias, weight_quant=quant)

    def relu(self) -> nn.Module:
        act = ACTIVATIONS[self.scale].let(bit_width=self.act_bits)
        return qnn.QuantReLU(act_quant=act, return_quant_tensor=False)


class ConvNetwork(nn.Module):
    """Two convolutions, one strided, a max-pool and a fully connected layer with bias."""

    input_shape = (1, 8, 8)

    def __init__(self, make: Layers) -> None:
        super().__init__()
        self.input_quant = make.input()
        self.conv1 = make.conv(1, 6, bits=8, padding=1)
        self.norm1 = nn.BatchNorm2d(6)
        self.act1 = make.relu()
        self.pool = nn.MaxPool2d(2)
        self.body = nn.Sequential(
            make.conv(6, 8, stride=2, padding=1), nn.BatchNorm2d(8), make.relu()
        )
        self.flatten = nn.Flatten()
        self.head = make.linear(32, 5, last=True, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act1(self.norm1(self.conv1(self.input_quant(x)))))
        return self.head(self.flatten(self.body(x)))


class DenseNetwork(nn.Module):
    """Two hidden fully connected layers and a head without bias."""

    input_shape = (1, 4, 4)

    def __init__(self, make: Layers) -> None:
        super().__init__()
        self.input_quant = make.input()
        self.flatten = nn.Flatten()
        self.hidden = nn.Sequential(
            make.linear(16, 12),
            nn.BatchNorm1d(12),
            make.relu(),
            make.linear(12, 9),
            nn.BatchNorm1d(9),
            make.relu(),
        )
        self.head = make.linear(9, 4, last=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(self.flatten(self.input_quant(x))))


def calibrated(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Random batch norm with negative and zero gains, scales from random frames."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias, 0, 0.5)
            module.weight.data[0] = 0.0
    network.train()
    with torch.no_grad():
        for _ in range(8):
            network(torch.randint(0, 256, (16, *shape)) / 256.0)
    return network.eval()


@pytest.fixture(scope="session")
def layers() -> type[Layers]:
    """The factory of quantized layers."""
    return Layers


@pytest.fixture(scope="session")
def calibrate() -> Callable[[nn.Module, tuple[int, ...]], nn.Module]:
    """Gives a network random batch norm and scales."""
    return calibrated


@pytest.fixture(scope="session")
def make_network() -> Callable[..., nn.Module]:
    """Makes a calibrated `conv` or `dense` network; the same every time."""

    def make(
        kind: str,
        scale: str = "float",
        per_channel: bool = False,
        weight_bits: int = 2,
        act_bits: int = 2,
        seed: int = 0,
    ) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = {"conv": ConvNetwork, "dense": DenseNetwork}[kind]
            made = network(Layers(scale, per_channel, weight_bits, act_bits))
            return calibrated(made, network.input_shape)

    return make


@pytest.fixture(scope="session")
def frames() -> Callable[..., np.ndarray]:
    """Random uint8 frames of a shape."""

    def make(shape: tuple[int, ...], count: int = 64, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.integers(0, 256, (count, *shape)).astype(np.uint8)

    return make


@pytest.fixture
def write_qonnx(tmp_path: Path) -> Callable[..., Path]:
    """Writes a QONNX file from nodes, named constants and the shapes of input and output."""

    def write(
        nodes: list[onnx.NodeProto],
        constants: dict[str, np.ndarray],
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        outputs: tuple[str, ...] = ("out",),
    ) -> Path:
        graph = helper.make_graph(
            nodes,
            "elsewhere",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
            [helper.make_tensor_value_info(o, TensorProto.FLOAT, output_shape) for o in outputs],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
        )
        domain = helper.make_opsetid("qonnx.custom_op.general", 1)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 13), domain], ir_version=9
        )
        path = tmp_path / "elsewhere.onnx"
        onnx.save(model, path)
        return path

    return write


@pytest.fixture(scope="session")
def quant_node() -> Callable[..., onnx.NodeProto]:
    """Makes a Quant node; scale, zero point and bits are names of constants."""

    def make(
        source: str, target: str, scale: str, bits: str, signed: int = 1, **other: object
    ) -> onnx.NodeProto:
        attributes = {"narrow": signed, "rounding_mode": "ROUND", "signed": signed, **other}
        inputs = [source, scale, str(attributes.pop("zero", "zero")), bits]
        return helper.make_node(
            "Quant",
            inputs,
            [target],
            f"quant_{target}",
            domain="qonnx.custom_op.general",
            **attributes,
        )

    return make
