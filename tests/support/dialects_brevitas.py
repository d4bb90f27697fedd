"""Networks of Brevitas, calibrated (PTQ) or trained for some steps (QAT), by every exporter."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas import quant
from brevitas.export import export_onnx_qcdq, export_qonnx
from dialect_writer import Collection
from dialects import Dialect
from torch import nn


class Network(nn.Module):
    """Two convolutions and a linear layer over maps of 8x8."""

    def __init__(self, **how: Any) -> None:
        super().__init__()
        inputs = how.get("inputs", quant.Uint8ActPerTensorFixedPoint)
        weights = how.get("weights", quant.Int8WeightPerTensorFloat)
        common = {
            "weight_quant": weights,
            "weight_bit_width": how.get("weight_bits", 4),
            "bias": "bias" in how,
            "bias_quant": how.get("bias"),
        }
        tensors = bool(how.get("tensors"))
        act = how.get("act", quant.Uint8ActPerTensorFloat)
        kind = how.get("layer", qnn.QuantReLU)

        def activation() -> nn.Module:
            return kind(
                act_quant=act, bit_width=how.get("act_bits", 4), return_quant_tensor=tensors
            )

        first = []
        if inputs is not None:
            first = [qnn.QuantIdentity(act_quant=inputs, bit_width=8, return_quant_tensor=tensors)]
        self.features = nn.Sequential(
            *first,
            qnn.QuantConv2d(1, 4, 3, padding=1, **common),
            nn.BatchNorm2d(4),
            activation(),
            how.get("pool", nn.MaxPool2d)(2),
            qnn.QuantConv2d(4, 6, 3, **common),
            nn.BatchNorm2d(6),
            activation(),
        )
        self.last = qnn.QuantLinear(
            24,
            5,
            bias=True,
            bias_quant=how.get("bias"),
            weight_quant=quant.Int8WeightPerTensorFloat,
            weight_bit_width=how.get("weight_bits", 4),
        )
        self.view = bool(how.get("view"))

    def forward(self, x: Any) -> Any:
        x = self.features(x)
        x = x.reshape(x.shape[0], -1) if self.view else x.flatten(1)
        return self.last(x)


class SequenceNetwork(nn.Module):
    """Depthwise and pointwise convolutions of 8x8 frames as 8 channels of 8 steps, a pool, a layer.

    Args:
        tail: what a mean over the steps is made by.
    """

    def __init__(self, tail: str = "flatten") -> None:
        super().__init__()

        def block(inputs: int, outputs: int, size: int, **how: Any) -> list[nn.Module]:
            return [
                qnn.QuantConv1d(
                    inputs,
                    outputs,
                    size,
                    bias=False,
                    weight_quant=quant.Int8WeightPerChannelFloat,
                    weight_bit_width=4,
                    **how,
                ),
                nn.BatchNorm1d(outputs),
                qnn.QuantReLU(act_quant=quant.Uint8ActPerTensorFloat, bit_width=4),
            ]

        self.features = nn.Sequential(
            qnn.QuantIdentity(act_quant=quant.Uint8ActPerTensorFixedPoint, bit_width=8),
            *block(8, 8, 3, padding=1, groups=8),
            *block(8, 6, 1),
            nn.MaxPool1d(2),
            *block(6, 6, 3, stride=2, padding=1),
        )
        self.pool = nn.AdaptiveAvgPool1d(1) if tail == "pool" else None
        weights = {"weight_quant": quant.Int8WeightPerTensorFloat, "weight_bit_width": 4}
        self.last = qnn.QuantLinear(12 if tail == "flatten" else 6, 5, bias=True, **weights)
        self.tail = tail

    def forward(self, x: Any) -> Any:
        x = self.features(x[:, 0] if x.dim() == 4 else x)
        if self.tail == "mean":
            x = x.mean(-1)
        elif self.pool is not None:
            x = self.pool(x)
        elif self.tail == "steps":
            return self.last(x.transpose(1, 2))
        return self.last(x.flatten(1))


def _ready(**how: Any) -> nn.Module:
    """Calibrated on 8 batches, or trained as many steps, with seeds of its own."""
    torch.manual_seed(1)
    network: nn.Module = SequenceNetwork(how["tail"]) if "tail" in how else Network(**how)
    network.train()
    low = -1.0 if how.get("inputs") is quant.Int8ActPerTensorFloat else 0.0
    optimizer = torch.optim.SGD(network.parameters(), 0.02)
    for _ in range(8):
        frames = torch.rand(8, 1, 8, 8) * (1 - low) + low
        loss = network(frames).square().mean()
        if how.get("train"):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def _export(path: Path, exporter: Any, options: dict[str, Any], how: dict[str, Any]) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        frame = torch.rand(1, 8, 8) if "tail" in how else torch.rand(1, 1, 8, 8)
        exporter(_ready(**how), frame, str(path), **options)


SCRIPT = {"dynamo": False, "opset_version": 13}
DYNAMIC = {
    **SCRIPT,
    "input_names": ["frames"],
    "output_names": ["logits"],
    "dynamic_axes": {"frames": {0: "batch"}, "logits": {0: "batch"}},
}
NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "trained": {"train": True},
    "8 bits": {"weight_bits": 8, "act_bits": 8},
    "2 bits, trained": {"weight_bits": 2, "act_bits": 2, "train": True},
    "weights per channel": {"weights": quant.Int8WeightPerChannelFloat},
    "powers of two": {
        "weights": quant.Int8WeightPerTensorFixedPoint,
        "act": quant.Uint8ActPerTensorFixedPoint,
    },
    "signed input": {"inputs": quant.Int8ActPerTensorFloat},
    "asymmetric activations": {"act": quant.ShiftedUint8ActPerTensorFloat},
    "asymmetric weights": {"weights": quant.ShiftedUint8WeightPerTensorFloat},
    "int32 biases": {"bias": quant.Int32Bias, "tensors": True},
    "int8 biases": {"bias": quant.Int8BiasPerTensorFloatInternalScaling},
    "view": {"view": True},
    "HardTanh": {"layer": qnn.QuantHardTanh, "act": quant.Int8ActPerTensorFloatMinMaxInit},
}
ONE_BIT: dict[str, dict[str, Any]] = {
    "1-bit ReLU": {"act_bits": 1},
    "1-bit weights": {"weights": quant.SignedBinaryWeightPerTensorConst, "weight_bits": 1},
    "ternary weights": {"weights": quant.SignedTernaryWeightPerTensorConst, "weight_bits": 2},
    "no input quantizer": {"inputs": None},
    "average pool": {"pool": nn.AvgPool2d},
    "sigmoid": {"layer": qnn.QuantSigmoid},
    "tanh": {"layer": qnn.QuantTanh, "act": quant.Int8ActPerTensorFloat},
}


def brevitas_files() -> list[Dialect]:
    """Each file of this family."""
    group = Collection("brevitas")
    NETWORKS["HardTanh"].update(_hard_tanh())

    def add(name: str, exporter: Any, options: dict[str, Any], how: dict[str, Any]) -> None:
        raw = "uint8:1/256" if how.get("inputs", True) is None else None
        group.write(name, lambda path, e=exporter, o=options, h=how: _export(path, e, o, h), raw)

    for name, how in {**NETWORKS, **ONE_BIT}.items():
        add(f"torchscript QONNX, {name}", export_qonnx, SCRIPT, how)
    for name, how in NETWORKS.items():
        add(f"dynamo QONNX, {name}", export_qonnx, {"dynamo": True}, how)
        add(f"torchscript QCDQ, {name}", export_onnx_qcdq, SCRIPT, how)
    for name in ("plain", "weights per channel", "view", "signed input"):
        add(f"dynamo QCDQ, {name}", export_onnx_qcdq, {"dynamo": True}, NETWORKS[name])
    for tail in ("flatten", "pool", "mean", "steps"):
        add(f"torchscript QONNX, sequences, {tail}", export_qonnx, SCRIPT, {"tail": tail})
        add(f"dynamo QONNX, sequences, {tail}", export_qonnx, {"dynamo": True}, {"tail": tail})
        add(f"torchscript QCDQ, sequences, {tail}", export_onnx_qcdq, SCRIPT, {"tail": tail})
    for opset in (11, 16, 18):
        options = {**SCRIPT, "opset_version": opset}
        add(f"torchscript QONNX, opset {opset}", export_qonnx, options, {})
    for name, how in {"plain": {}, "view": {"view": True}}.items():
        add(f"torchscript QONNX, dynamic batch, {name}", export_qonnx, DYNAMIC, how)
    return group.files


def _hard_tanh() -> dict[str, Any]:
    """Hard tanh has fixed ends, which its quantizer takes from the layer."""

    class Layer(qnn.QuantHardTanh):
        def __init__(self, **options: Any) -> None:
            super().__init__(min_val=-1.0, max_val=1.0, **options)

    return {"layer": Layer, "act": quant.Int8ActPerTensorFloatMinMaxInit}
