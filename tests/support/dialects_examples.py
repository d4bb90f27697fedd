"""The networks that people start from: Brevitas' own examples, and 1-D networks as published.

Weights are random and every range is calibrated. The models of `brevitas_examples` come with the
package and are built by its own code; the 1-D networks follow Kriman et al. 2020 (QuartzNet:
separable convolutions in residual blocks, 64 bands) and O'Shea et al. 2018 (VGG10 on 1,024 samples
of radio signals in two channels).
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from configparser import ConfigParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas import quant
from brevitas.export import export_qonnx
from dialect_writer import Collection
from dialects import Dialect
from torch import nn

Shape = tuple[int, ...]
# Frames per calibration batch, by the size of a frame.
BATCHES, SMALL_BATCH, LARGE_BATCH, LARGE = 4, 16, 2, 50_000


def _calibrated(network: nn.Module, shape: Shape, most: float) -> nn.Module:
    """Ranges and batch norm from a few batches of random frames in [0, most]."""
    count = LARGE_BATCH if torch.Size(shape).numel() > LARGE else SMALL_BATCH
    with torch.no_grad():
        for _ in range(BATCHES):
            network(torch.rand(count, *shape) * most)
    return network.eval()


def _write(path: Path, make: Any, shape: Shape, most: float) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.manual_seed(1)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        network = _calibrated(make().train(), shape, most)
        options = {"dynamo": False, "opset_version": 13}
        export_qonnx(network, torch.rand(1, *shape) * most, str(path), **options)


def _settings(package: str, name: str) -> ConfigParser:
    found = ConfigParser()
    found.read_string((files(package) / "cfg" / f"{name}.ini").read_text(encoding="utf-8"))
    return found


def _of_bnn_pynq(name: str) -> nn.Module:
    """TFC, SFC, LFC, CNV, ResNet-18 for CIFAR-10."""
    from brevitas_examples.bnn_pynq.models import CNV, FC, resnet

    settings = _settings("brevitas_examples.bnn_pynq", name)
    makers = {"cnv": CNV.cnv, "resnet18": resnet.quant_resnet18}
    made: nn.Module = makers.get(name.split("_")[0], FC.fc)(settings)
    return made


def _mobilenet() -> nn.Module:
    from brevitas_examples.imagenet_classification.models import mobilenetv1

    package = "brevitas_examples.imagenet_classification.models"
    made: nn.Module = mobilenetv1.quant_mobilenet_v1(_settings(package, "quant_mobilenet_v1_4b"))
    return made


class Separable(nn.Sequential):
    """Depthwise convolution along time, 1x1, batch norm, quantizer."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        common = {
            "bias": False,
            "weight_quant": quant.Int8WeightPerChannelFloat,
            "weight_bit_width": 4,
        }
        super().__init__(
            qnn.QuantConv1d(
                inputs,
                inputs,
                kernel,
                padding=kernel // 2,
                stride=stride,
                groups=inputs,
                **common,
            ),
            qnn.QuantIdentity(act_quant=quant.Int8ActPerTensorFloat, bit_width=8),
            qnn.QuantConv1d(inputs, outputs, 1, **common),
            nn.BatchNorm1d(outputs),
        )


class SpeechBlock(nn.Module):
    """Two separable convolutions beside a 1x1 one."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.first = nn.Sequential(Separable(inputs, outputs, kernel), qnn.QuantReLU(bit_width=4))
        self.second = Separable(outputs, outputs, kernel)
        self.beside = nn.Sequential(
            qnn.QuantConv1d(inputs, outputs, 1, bias=False, weight_bit_width=4),
            nn.BatchNorm1d(outputs),
        )
        self.grid = qnn.QuantIdentity(act_quant=quant.Int8ActPerTensorFloat, bit_width=8)
        self.out = qnn.QuantReLU(bit_width=4)

    def forward(self, x: Any) -> Any:
        return self.out(self.grid(self.second(self.first(x))) + self.grid(self.beside(x)))


class Speech(nn.Sequential):
    """Classes for every second time step, of 64 bands."""

    def __init__(self) -> None:
        super().__init__(
            qnn.QuantIdentity(act_quant=quant.Int8ActPerTensorFloat, bit_width=8),
            Separable(64, 64, 33, stride=2),
            qnn.QuantReLU(bit_width=4),
            SpeechBlock(64, 64, 33),
            SpeechBlock(64, 96, 39),
            qnn.QuantConv1d(96, 29, 1, bias=True, weight_bit_width=8),
        )


class Radio(nn.Sequential):
    """VGG10 along time: seven convolutions with max-pooling, three fully connected layers."""

    def __init__(self) -> None:
        layers: list[nn.Module] = [
            qnn.QuantHardTanh(
                act_quant=quant.Int8ActPerTensorFloat, bit_width=8, min_val=-1, max_val=1
            )
        ]
        channels = 2
        for _ in range(7):
            conv = qnn.QuantConv1d(channels, 64, 3, padding=1, bias=False, weight_bit_width=4)
            layers += [conv, nn.BatchNorm1d(64), qnn.QuantReLU(bit_width=4), nn.MaxPool1d(2)]
            channels = 64
        layers.append(nn.Flatten())
        features = 512
        for _ in range(2):
            linear = qnn.QuantLinear(features, 128, bias=False, weight_bit_width=4)
            layers += [linear, nn.BatchNorm1d(128), qnn.QuantReLU(bit_width=4)]
            features = 128
        last = qnn.QuantLinear(features, 24, bias=True, weight_bit_width=4)
        super().__init__(*layers, last)


def example_files() -> list[Dialect]:
    """Each network; those without a quantizer of their input read bytes."""
    group = Collection("example")

    def add(name: str, make: Any, shape: Shape, most: float = 1.0, raw: str | None = None) -> None:
        large = torch.Size(shape).numel() > LARGE
        group.write(name, lambda path: _write(path, make, shape, most), raw, large=large)

    for network in ("tfc", "sfc", "lfc"):
        for bits in ("1w1a", "1w2a", *(() if network == "lfc" else ("2w2a",))):
            name = f"{network}_{bits}"
            add(name.upper(), lambda name=name: _of_bnn_pynq(name), (1, 28, 28))
    for bits in ("1w1a", "1w2a", "2w2a"):
        add(f"CNV_{bits.upper()}", lambda bits=bits: _of_bnn_pynq(f"cnv_{bits}"), (3, 32, 32))
    small = (3, 32, 32)
    add("ResNet-18_4W4A", lambda: _of_bnn_pynq("resnet18_4w4a"), small, 255.0, "uint8:1")
    add("MobileNetV1_4W4A", _mobilenet, (3, 224, 224), 255.0, "uint8:1")
    add("QuartzNet-style 1-D", Speech, (64, 128))
    add("VGG10 1-D", Radio, (2, 1024))
    return group.files
