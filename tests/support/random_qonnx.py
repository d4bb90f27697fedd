"""Random QONNX files of the supported layers, written node by node with plain onnx.

Activations are computed along the way on a few frames, so that every quantizer's scale spreads its
codes: a network whose codes are all zero proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional as F

FRAMES = 8


@dataclass
class Value:
    """A tensor of the file: its name, its values on the frames, its scale once quantized."""

    name: str
    data: torch.Tensor
    scale: float = 1.0


@dataclass
class QonnxMaker:
    """Writes one network; every random choice comes from the seed.

    Args:
        powers: scales are powers of two, so that ties happen all the time.
    """

    seed: int
    shape: tuple[int, ...]
    bits: int = 8
    powers: bool = False
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        codes = self.random.integers(0, 2**self.bits, (FRAMES, *self.shape))
        start = Value("x", torch.from_numpy(codes * 2.0**-self.bits))
        self.now = self._quant(start, "input", 2.0**-self.bits, self.bits, signed=False)

    def conv(
        self,
        channels: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (1, 1, 1, 1),
        dilation: tuple[int, int] = (1, 1),
        weight_bits: int = 2,
        depthwise: bool = False,
    ) -> QonnxMaker:
        source, name = self.now, self._name("conv")
        groups = source.data.shape[1] if depthwise else 1
        channels = groups if depthwise else channels
        shape = (channels, source.data.shape[1] // groups, *kernel)
        weight = self._weight(f"{name}.weight", shape, weight_bits)
        top, left, bottom, right = pads
        padded = F.pad(source.data, (left, right, top, bottom))
        out = F.conv2d(padded, weight.data, None, stride, 0, dilation, groups)
        self.now = self._node(
            "Conv",
            name,
            [source, weight],
            out,
            kernel_shape=list(kernel),
            strides=list(stride),
            pads=list(pads),
            dilations=list(dilation),
            group=groups,
        )
        return self

    def dense(self, features: int, weight_bits: int = 8) -> QonnxMaker:
        source, name = self.now, self._name("fc")
        weight = self._weight(f"{name}.weight", (source.data.shape[1], features), weight_bits)
        self.now = self._node("MatMul", name, [source, weight], source.data @ weight.data)
        return self

    def norm(self) -> QonnxMaker:
        """Scale and bias per channel, as batch norm leaves them; some negative, one zero."""
        channels = self.now.data.shape[1]
        spread = float(self.now.data.std()) + 1e-9
        gain = self.random.uniform(0.5, 2.0, channels) * self.random.choice([1, 1, -1], channels)
        if channels > 3:
            gain[self.random.integers(channels)] = 0.0
        bias = self.random.normal(0, 0.5 * spread, channels)
        if self.powers:
            gain, bias = np.sign(gain) * 2.0 ** np.round(np.log2(np.abs(gain) + 1e-9)), bias * 0
        for op, values in (("Mul", gain), ("Add", bias)):
            self._channelwise(op, values)
        return self

    def relu(self) -> QonnxMaker:
        self.now = self._node("Relu", self._name("relu"), [self.now], self.now.data.clamp(min=0))
        return self

    def act(self, bits: int = 2, signed: bool = False, scale: float | None = None) -> QonnxMaker:
        levels = 2 ** (bits - 1) if signed else 2**bits
        step = scale or 2.5 * (float(self.now.data.std()) + 1e-6) / max(levels - 1, 1)
        self.now = self._quant(self.now, self._name("act"), self._step(step), bits, signed)
        return self

    def max_pool(
        self, kernel: tuple[int, int] = (2, 2), stride: tuple[int, int] = (2, 2)
    ) -> QonnxMaker:
        out = F.max_pool2d(self.now.data, kernel, stride)
        scale = self.now.scale
        self.now = self._node(
            "MaxPool",
            self._name("pool"),
            [self.now],
            out,
            kernel_shape=list(kernel),
            strides=list(stride),
        )
        self.now.scale = scale
        return self

    def mark(self) -> Value:
        return self.now

    def back_to(self, value: Value) -> QonnxMaker:
        self.now = value
        return self

    def join(self, other: Value) -> QonnxMaker:
        """Residual addition of two tensors on one grid."""
        self.now = self._node(
            "Add", self._name("add"), [self.now, other], self.now.data + other.data
        )
        return self

    def pool_all(self) -> QonnxMaker:
        mean = self.now.data.mean((2, 3), keepdim=True)
        self.now = self._node("GlobalAveragePool", self._name("mean"), [self.now], mean)
        return self.flatten()

    def flatten(self) -> QonnxMaker:
        self.now = self._node(
            "Flatten", self._name("flatten"), [self.now], self.now.data.flatten(1), axis=1
        )
        return self

    def save(self, path: Path) -> Path:
        """Write the file; the last tensor is the output."""
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *self.shape])],
            [
                helper.make_tensor_value_info(
                    self.now.name, TensorProto.FLOAT, [1, *self.now.data.shape[1:]]
                )
            ],
            [numpy_helper.from_array(a, name) for name, a in self.constants.items()],
        )
        domains = [
            helper.make_opsetid("", 13),
            helper.make_opsetid("qonnx.custom_op.general", 1),
        ]
        onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=9), path)
        return path

    def _step(self, step: float) -> float:
        return float(np.float32(2.0 ** np.round(np.log2(step)) if self.powers else step))

    def _name(self, kind: str) -> str:
        return f"{kind}{len(self.nodes)}"

    def _node(
        self, op: str, name: str, inputs: list[Value], data: torch.Tensor, **attributes: Any
    ) -> Value:
        out = Value(f"{name}_out", data)
        sources = [value.name for value in inputs]
        self.nodes.append(helper.make_node(op, sources, [out.name], name=name, **attributes))
        return out

    def _channelwise(self, op: str, values: np.ndarray) -> None:
        name = self._name(op.lower())
        shape = (1, -1, 1, 1) if self.now.data.dim() == 4 else (1, -1)
        constant = values.astype(np.float32).reshape(shape)
        self.constants[f"{name}.value"] = constant
        other = torch.from_numpy(constant.astype(np.float64))
        data = self.now.data * other if op == "Mul" else self.now.data + other
        self.now = self._node(op, name, [self.now, Value(f"{name}.value", other)], data)

    def _weight(self, name: str, shape: tuple[int, ...], bits: int) -> Value:
        top = 2 ** (bits - 1) - 1
        scale = self._step(float(self.random.uniform(0.05, 0.5)) / top)
        codes = self.random.integers(-top, top + 1, shape)
        self.constants[name] = (codes * scale).astype(np.float32)
        value = Value(name, torch.from_numpy(self.constants[name].astype(np.float64)))
        return self._quant(value, f"{name}.quant", scale, bits, signed=True, narrow=True)

    def _quant(
        self,
        source: Value,
        name: str,
        scale: float,
        bits: int,
        signed: bool,
        narrow: bool = False,
    ) -> Value:
        for part, value in (("scale", scale), ("zero", 0.0), ("bits", float(bits))):
            self.constants[f"{name}.{part}"] = np.float32(value)
        low = -(2 ** (bits - 1)) + int(narrow) if signed else 0
        high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        data = torch.clamp(torch.round(source.data / scale), low, high) * scale
        out = Value(f"{name}_out", data, scale)
        self.nodes.append(
            helper.make_node(
                "Quant",
                [source.name, *(f"{name}.{part}" for part in ("scale", "zero", "bits"))],
                [out.name],
                name=name,
                domain="qonnx.custom_op.general",
                signed=int(signed),
                narrow=int(narrow),
                rounding_mode="ROUND",
            )
        )
        return out
