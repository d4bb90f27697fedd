"""Layers with biases of their own, from Brevitas to RTL: no batch norm takes them up."""

from __future__ import annotations

from pathlib import Path

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import (
    Int8BiasPerTensorFloatInternalScaling,
    Int8WeightPerTensorFixedPoint,
    Int8WeightPerTensorFloat,
    Uint8ActPerTensorFixedPoint,
    Uint8ActPerTensorFloat,
)
from torch import nn

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.source import NetworkSource
from qdeploy.build_folder import QONNX_FILE
from qdeploy.ir.integer_graph import Bias
from qdeploy.lowering.integers.lower import lower
from qdeploy.networks.calibrated import pattern_frames
from qdeploy.quant.quantizers import input_quantizer

SHAPE = (2, 6, 5)
RUNGS = ("torch", "qonnx", "int", "dataflow", "memories", "layer", "rtl")
WEIGHTS = {"float": Int8WeightPerTensorFloat, "power_of_two": Int8WeightPerTensorFixedPoint}
ACTIVATIONS = {"float": Uint8ActPerTensorFloat, "power_of_two": Uint8ActPerTensorFixedPoint}


class Biased(nn.Module):
    """A full, a depthwise and a pointwise convolution, then a hidden layer and a head."""

    def __init__(self, scale: str, bias_quant: type | None, *, pixels: bool) -> None:
        super().__init__()
        self.settings = {"weight_quant": WEIGHTS[scale], "bias": True, "bias_quant": bias_quant}
        self.act = ACTIVATIONS[scale]
        self.input_quant = qnn.QuantIdentity(act_quant=input_quantizer(8))
        self.conv = self._conv(SHAPE[0], 5, 3, padding=1)
        self.act1 = self._relu(3)
        self.spread = self._conv(5, 5, 3, groups=5, stride=2)
        self.act2 = self._relu(2)
        self.point = self._conv(5, 4, 1)
        self.act3 = self._relu(4)
        self.flatten = nn.Identity() if pixels else nn.Flatten()
        self.head = self._conv(4, 3, 1) if pixels else self._linear(4 * 2 * 2, 3)

    def _conv(self, inputs: int, outputs: int, kernel: int, **keys: int) -> nn.Module:
        return qnn.QuantConv2d(inputs, outputs, kernel, weight_bit_width=3, **keys, **self.settings)

    def _linear(self, inputs: int, outputs: int) -> nn.Module:
        return qnn.QuantLinear(inputs, outputs, weight_bit_width=4, **self.settings)

    def _relu(self, bits: int) -> nn.Module:
        return qnn.QuantReLU(act_quant=self.act, bit_width=bits, return_quant_tensor=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act1(self.conv(self.input_quant(x)))
        x = self.act3(self.point(self.act2(self.spread(x))))
        return self.head(self.flatten(x))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Verilator's runtime and the driver are compiled once for all models here."""
    return tmp_path_factory.mktemp("models")


def calibrated(network: Biased) -> Biased:
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.bias.data = 0.4 * torch.randn(module.bias.shape, generator=generator)
    network.train()
    with torch.no_grad():
        for _ in range(8):
            network(torch.randint(0, 256, (16, *SHAPE), generator=generator) / 256)
    return network.eval()


@pytest.mark.parametrize(
    ("scale", "bias_quant", "pixels"),
    [
        ("float", None, False),
        pytest.param("power_of_two", None, True, marks=pytest.mark.slow),
        pytest.param("float", Int8BiasPerTensorFloatInternalScaling, True, marks=pytest.mark.slow),
    ],
    ids=["float", "power-of-two-logits-a-pixel", "quantized-biases"],
)
def test_biases_of_every_layer_reach_rtl_exactly(
    scale: str, bias_quant: type | None, pixels: bool, models: Path, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    network = calibrated(Biased(scale, bias_quant, pixels=pixels))
    source = NetworkSource("biased", network, pattern_frames(SHAPE, 20, seed=1).numpy())
    options = Options(
        Path("biased"), fps=20_000.0, frames=20, rtl_frames=10, synthesis=False, cache=models
    )
    made = build(options, tmp_path / "build", source=source)
    # Before a quantizer a bias goes into thresholds. That of the logits is added in hardware where
    # it is whole steps of them, and else goes with the integers; either way it is there.
    graph = lower(made.folder / QONNX_FILE)
    added = sum(isinstance(node, Bias) for node in graph.nodes)
    assert added + any(graph.head.offset) == 1
    assert made.failure is None
    ran = {rung.name: rung.mismatches for rung in made.rungs if rung.skipped is None}
    assert ran == dict.fromkeys(RUNGS, 0)
