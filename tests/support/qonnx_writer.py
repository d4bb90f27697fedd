"""A QONNX file written node by node with plain onnx, and the values of its tensors on some frames.

Layers are in `random_qonnx.py`; here is what they are made of: nodes, constants, quantizers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

FRAMES = 8


@dataclass(frozen=True)
class Weights:
    """How a layer's weights are quantized.

    Args:
        bits: 1 for -1 and +1, 2 for ternary, …
        per_channel: one scale for each output channel.
        narrow: without the most negative code; ternary when `bits` is 2.
        node: with one bit, a BipolarQuant instead of a Quant.
        dead: an output channel whose weights are all zero, where there are several and zero is
            a code.
    """

    bits: int = 2
    per_channel: bool = False
    narrow: bool = True
    node: bool = False
    dead: bool = False


@dataclass
class Value:
    """A tensor of the file: its name, its values on the frames, its scale once quantized."""

    name: str
    data: torch.Tensor
    scale: float = 1.0
    signed: bool = False

    @property
    def channels(self) -> int:
        return int(self.data.shape[1])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Height and width of a feature map."""
        return tuple(self.data.shape[2:])


@dataclass
class QonnxWriter:
    """Writes one network; every random choice comes from the seed.

    Args:
        shape: of the input, without the batch axis.
        bits: width of the input codes.
        signed: whether they are, which takes two bits at least.
        powers: scales are powers of two, so that ties happen all the time.

    `features` says what the network holds; `now` is the tensor made last.
    """

    seed: int
    shape: tuple[int, ...]
    bits: int = 8
    powers: bool = False
    signed: bool = False
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    features: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        codes = self.random.integers(0, 2**self.bits, (FRAMES, *self.shape))
        codes -= 2 ** (self.bits - 1) if self.signed else 0
        start = Value("x", torch.from_numpy(codes * 2.0**-self.bits))
        self.now = self.quant(start, "input", 2.0**-self.bits, self.bits, signed=self.signed)
        if self.signed:
            self.features.add("signed input")
        self.features.add("power-of-two scales" if self.powers else "arbitrary scales")

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

    def name(self, kind: str) -> str:
        """A name no node has yet."""
        return f"{kind}{len(self.nodes)}"

    def step(self, step: float) -> float:
        """A scale near `step`: the nearest power of two where all scales are."""
        return float(np.float32(2.0 ** np.round(np.log2(step)) if self.powers else step))

    def node(
        self, op: str, name: str, inputs: list[Value], data: torch.Tensor, **attributes: Any
    ) -> Value:
        """A node with one output, its values given."""
        out = Value(f"{name}_out", data)
        sources = [value.name for value in inputs]
        self.nodes.append(helper.make_node(op, sources, [out.name], name=name, **attributes))
        return out

    def constant(self, name: str, values: np.ndarray) -> Value:
        """A float32 constant."""
        self.constants[name] = values.astype(np.float32)
        return Value(name, torch.from_numpy(self.constants[name].astype(np.float64)))

    def channelwise(self, op: str, values: np.ndarray) -> None:
        """A Mul or Add of one constant per channel, or of one for all."""
        name = self.name(op.lower())
        shape = (1, -1, 1, 1) if self.now.data.dim() == 4 else (1, -1)
        other = self.constant(f"{name}.value", values.reshape(shape))
        data = self.now.data * other.data if op == "Mul" else self.now.data + other.data
        self.now = self.node(op, name, [self.now, other], data)

    def weight(self, name: str, shape: tuple[int, ...], kind: Weights, axis: int = 0) -> Value:
        """Random quantized weights; `axis` is the one of the output channels."""
        dead = kind.dead and kind.bits > 1 and shape[axis] > 1
        top = max(2 ** (kind.bits - 1) - 1, 1)
        codes = self.random.integers(-top - (not kind.narrow and kind.bits > 1), top + 1, shape)
        if kind.bits == 1:
            codes = self.random.choice([-1, 1], shape)
        if dead:
            np.moveaxis(codes, axis, 0)[0] = 0
        count = shape[axis] if kind.per_channel else 1
        scales = np.array(
            [self.step(float(self.random.uniform(0.05, 0.5)) / top) for _ in range(count)]
        )
        wide = tuple(count if place == axis else 1 for place in range(len(shape)))
        scale: float | np.ndarray = scales.reshape(wide) if kind.per_channel else float(scales[0])
        self._note_weights(kind, dead)
        value = self.constant(name, codes * scale)
        return self.quant(
            value, f"{name}.quant", scale, kind.bits, True, kind.narrow and kind.bits > 1, kind.node
        )

    def quant(
        self,
        source: Value,
        name: str,
        scale: float | np.ndarray,
        bits: int,
        signed: bool,
        narrow: bool = False,
        bipolar: bool = False,
    ) -> Value:
        """A Quant node with zero point 0; a signed bit means -1 and +1."""
        self.constants[f"{name}.scale"] = np.asarray(scale, np.float32)
        parts = ["scale"]
        if not bipolar:
            self.constants[f"{name}.zero"] = np.float32(0)
            self.constants[f"{name}.bits"] = np.float32(bits)
            parts += ["zero", "bits"]
        step = torch.from_numpy(np.asarray(scale, np.float32).astype(np.float64))
        if signed and bits == 1:
            data = (2.0 * (source.data >= 0) - 1.0).double() * step
        else:
            low = -(2 ** (bits - 1)) + int(narrow) if signed else 0
            high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
            data = torch.clamp(torch.round(source.data / step), low, high) * step
        out = Value(f"{name}_out", data, float(np.max(scale)), signed)
        attributes = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": "ROUND"}
        self.nodes.append(
            helper.make_node(
                "BipolarQuant" if bipolar else "Quant",
                [source.name, *(f"{name}.{part}" for part in parts)],
                [out.name],
                name=name,
                domain="qonnx.custom_op.general",
                **({} if bipolar else attributes),
            )
        )
        return out

    def _note_weights(self, kind: Weights, dead: bool) -> None:
        self.features.add(f"weights of {kind.bits} bits")
        if kind.bits == 1:
            self.features.add("binary weights")
        if kind.bits == 2 and kind.narrow:
            self.features.add("ternary weights")
        if kind.per_channel:
            self.features.add("weight scales per channel")
        if dead:
            self.features.add("channels of zero weights")
