"""QCDQ: pairs of QuantizeLinear and DequantizeLinear become Quant nodes.

    x -> QuantizeLinear(s, z) [-> Clip(a, b)] -> DequantizeLinear(s, z)     activations
    constant integers q -> DequantizeLinear(s, z)                           weights, biases

ONNX defines (operator QuantizeLinear-21, DequantizeLinear-21)

    q = saturate(round_half_even(x / s) + z)        value = (q - z)·s

with x / s in float32. The zero point is added after rounding, where QONNX's Quant adds it before:
for an odd z ties go the other way. So the codes m = q - z are rounded without a zero point, in a
Quant wide enough for [lo - z, hi - z], and a Clip to those ends follows where Quant has others.

Constants are written as the float32 values (q - z)·s in front of a Quant that finds q - z again:
what follows is computed from the integers and the scale. Wide biases whose integers the
division does not give back stay floats: what DequantizeLinear gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.bounds import QONNX_DOMAIN
from qdeploy.lowering.canonical.edit import Array, Edit, attribute
from qdeploy.lowering.canonical.passes import Pass, PassResult
from qdeploy.lowering.canonical.refusal import refuse

_PASS_THROUGH = ("Identity", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "MaxPool")
_MOST_BITS = 32
# Bits of the integer types of ONNX, and whether they are signed.
_TYPES = {
    TensorProto.INT8: (8, True),
    TensorProto.UINT8: (8, False),
    TensorProto.INT16: (16, True),
    TensorProto.UINT16: (16, False),
    TensorProto.INT4: (4, True),
    TensorProto.UINT4: (4, False),
    TensorProto.INT32: (32, True),
}


@dataclass(frozen=True)
class _Grid:
    """Scale and zero point as arrays that broadcast over the tensor; the codes' range."""

    scale: Array
    zero: Array
    lo: int
    hi: int


class QuantizeLinearToQuant(Pass):
    """QuantizeLinear, Clip, DequantizeLinear become one Quant node."""

    def call(self, model: ModelProto) -> PassResult:
        edit = Edit(model)
        for node in edit.of_kind("DequantizeLinear"):
            stored = edit.constant(node.input[0])
            if stored is not None:
                _constant(edit, node, stored)
            else:
                _activation(edit, node)
        return PassResult(model, edit.apply())

    def ensures(self, model: ModelProto) -> None:
        for node in model.graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"):
                raise refuse(
                    node,
                    f"a {node.op_type} without its counterpart",
                    expected="QuantizeLinear -> [Clip] -> DequantizeLinear with the same constants",
                    why="codes go from layer to layer only between the two",
                    do="export in QDQ format, with static (calibrated) activations",
                )


def _constant(edit: Edit, node: NodeProto, stored: Array) -> None:
    """Weights become floats before a Quant, wide integers floats."""
    grid = _grid(edit, node, stored.ndim, stored.shape)
    codes = stored.astype(np.int64) - grid.zero.astype(np.int64)
    values = (codes.astype(np.float32) * grid.scale.astype(np.float32)).astype(np.float32)
    name = edit.add_constant(f"{node.output[0]}_values", values)
    again = np.rint((values / grid.scale).astype(np.float64))
    low, high = int(codes.min(initial=0)), int(codes.max(initial=0))
    if grid.hi < 1 << 16:
        low, high = min(low, grid.lo + (grid.lo < 0)), max(high, grid.hi)
    bits = max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + 1
    if bits > _MOST_BITS or not np.array_equal(again, codes):
        edit.rename(node.output[0], name)
        edit.remove(node)
        return
    edit.replace(node, [_quant(edit, node, name, grid.scale, max(bits, 2), signed=True)])


def _activation(edit: Edit, node: NodeProto) -> None:
    chain, source = [node], edit.producer(node.input[0])
    low, high = -(1 << 40), 1 << 40
    moved: list[NodeProto] = []
    while source is not None and source.op_type != "QuantizeLinear":
        if source.op_type == "Clip":
            low, high = _clip(edit, source, low, high)
        elif source.op_type in _PASS_THROUGH:
            moved.append(source)
        else:
            return
        chain.append(source)
        source = edit.producer(source.input[0])
    if source is None or any(edit.only_reader(c.output[0]) is None for c in chain[1:]):
        return
    rank = len(edit.shape(source.input[0]))
    grid = _grid(edit, source, rank, edit.shape(source.input[0]))
    after = _grid(edit, node, len(edit.shape(node.input[0])), edit.shape(node.input[0]))
    if not np.array_equal(grid.scale.reshape(-1), after.scale.reshape(-1)) or not np.array_equal(
        grid.zero.reshape(-1), after.zero.reshape(-1)
    ):
        raise refuse(
            node,
            "it has other constants than its QuantizeLinear",
            expected="QuantizeLinear -> [Clip] -> DequantizeLinear with the same constants",
            do="export in QDQ format",
        )
    if moved and grid.scale.size > 1:
        return
    _write(edit, source, node, grid, (max(low, grid.lo), min(high, grid.hi)), moved)


def _write(
    edit: Edit,
    source: NodeProto,
    node: NodeProto,
    grid: _Grid,
    limits: tuple[int, int],
    moved: list[NodeProto],
) -> None:
    """Quant [-> Clip] -> what stood between, in the place of the chain."""
    zero = int(grid.zero.reshape(-1)[0])
    if (grid.zero != zero).any():
        raise refuse(
            node,
            "its activations have zero points per channel",
            do="use one zero point for the activations of a layer",
        )
    low, high = limits[0] - zero, limits[1] - zero
    signed = low < 0
    bits = max((-low - 1).bit_length() if signed else 0, max(high, 0).bit_length()) + signed
    bits = max(bits, 2 if signed else 1)
    reached = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    narrow = signed and (low, high) == (reached[0] + 1, reached[1])
    exact = narrow or (low, high) == reached
    target = moved[-1].input[0] if moved else node.output[0]
    rest = list(reversed(moved))
    nodes = [
        _quant(
            edit,
            node,
            source.input[0],
            grid.scale,
            bits,
            signed=signed,
            narrow=narrow,
            output=target if exact else f"{node.output[0]}_wide",
            name=source.name or node.name,
        )
    ]
    if not exact:
        scale = np.float32(grid.scale.reshape(-1)[0])
        if grid.scale.size > 1:
            raise refuse(
                node,
                "its activations have scales per channel and a zero point",
                do="use one scale and one zero point for the activations of a layer",
            )
        ends = [
            edit.add_constant(f"{node.output[0]}_{key}", np.float32(scale * np.float32(end)))
            for key, end in (("low", low), ("high", high))
        ]
        name = f"{source.name or node.name}Clip"
        nodes.append(helper.make_node("Clip", [nodes[0].output[0], *ends], [target], name))
    for item in rest:
        copy = NodeProto.FromString(item.SerializeToString())
        nodes.append(copy)
    if rest:
        nodes[-1].output[0] = node.output[0]
    clips = [c for c in _between(edit, source, node) if c not in moved]
    for item in (source, *clips, *moved):
        edit.remove(item)
    edit.replace(node, nodes)


def _between(edit: Edit, source: NodeProto, node: NodeProto) -> list[NodeProto]:
    found, current = [], edit.producer(node.input[0])
    while current is not None and current is not source:
        found.append(current)
        current = edit.producer(current.input[0])
    return found


def _clip(edit: Edit, node: NodeProto, low: int, high: int) -> tuple[int, int]:
    ends = []
    for position, key in ((1, "min"), (2, "max")):
        given = attribute(node, key)
        if given is None and len(node.input) > position and node.input[position]:
            value = edit.constant(node.input[position])
            if value is None:
                raise refuse(node, "its ends are computed at run time", do="use constants")
            given = value.reshape(-1)[0]
        ends.append(None if given is None else int(given))
    return (
        low if ends[0] is None else max(low, ends[0]),
        high if ends[1] is None else min(high, ends[1]),
    )


def _grid(edit: Edit, node: NodeProto, rank: int, shape: tuple[int, ...]) -> _Grid:
    """Scale, zero point and range of a QuantizeLinear or DequantizeLinear node.

    Raises:
        UnsupportedLayerError: they are computed at run time, or blockwise.
    """
    scale = edit.constant(node.input[1])
    has_zero = len(node.input) > 2 and bool(node.input[2])
    zero = edit.constant(node.input[2]) if has_zero else None
    if scale is None or (has_zero and zero is None):
        raise refuse(
            node,
            "its scale or zero point is computed at run time",
            why="thresholds are computed once, before the hardware is built",
            do="quantize statically, with calibrated constants",
        )
    if attribute(node, "block_size", 0):
        raise refuse(node, "its scales are per block", do="use scales per tensor or per channel")
    if not scale.size or (zero is not None and zero.size != scale.size):
        raise _not_its_own(node, scale, shape)
    if not np.isfinite(scale).all() or (scale <= 0).any():
        raise refuse(
            node,
            f"its quantizer has the scale {scale.reshape(-1)[0]}",
            why="a scale is a positive, finite step size",
            do="calibrate or retrain the quantizer",
        )
    bits, signed = _type(edit, node, zero)
    lo, hi = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    zeros = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64)
    if scale.size > 1 and rank > 1:
        axis = int(attribute(node, "axis", 1)) % rank
        if len(shape) == rank and shape[axis] not in (0, scale.size):
            raise _not_its_own(node, scale, shape)
        spread = [1] * rank
        spread[axis] = -1
        scale, zeros = scale.reshape(spread), zeros.reshape(spread)
    return _Grid(scale.astype(np.float32), zeros, lo, hi)


def _not_its_own(node: NodeProto, scale: Array, shape: tuple[int, ...]) -> UnsupportedLayerError:
    return refuse(
        node,
        f"it has scales of the shape {scale.shape} along its axis of a tensor of {shape}",
        why="there is one scale and zero point, or one for each element along the axis",
        do="export the network again",
    )


def _type(edit: Edit, node: NodeProto, zero: Array | None) -> tuple[int, bool]:
    """Width and sign of the codes."""
    kind = TensorProto.UINT8
    if zero is not None:
        kind = edit.data_type(node.input[2])
    elif node.op_type == "DequantizeLinear" and edit.is_constant(node.input[0]):
        kind = edit.data_type(node.input[0])
    elif attribute(node, "output_dtype", 0):
        kind = attribute(node, "output_dtype")
    if kind not in _TYPES:
        raise refuse(
            node,
            "its codes are floating-point numbers",
            do="quantize to int8, uint8, int4, uint4 or 16 bits",
        )
    return _TYPES[kind]


def _quant(
    edit: Edit,
    node: NodeProto,
    source: str,
    scale: Array,
    bits: int,
    *,
    signed: bool,
    narrow: bool = False,
    output: str | None = None,
    name: str | None = None,
) -> NodeProto:
    if bits > _MOST_BITS:
        raise refuse(node, f"its codes take {bits} bits", do="use codes of at most 16 bits")
    stem = node.output[0]
    parameters = [
        edit.add_constant(f"{stem}_{key}", np.asarray(value, np.float32))
        for key, value in (("scale", scale), ("zero_point", 0), ("bit_width", bits))
    ]
    return helper.make_node(
        "Quant",
        [source, *parameters],
        [output or stem],
        name if name is not None else node.name,
        domain=QONNX_DOMAIN,
        signed=int(signed),
        narrow=int(narrow),
        rounding_mode="ROUND",
    )
