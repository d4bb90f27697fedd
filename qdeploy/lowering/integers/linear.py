"""Convolutions and matrix products in the lowering.

    a = g·n + b,  w = s_c·m   ->   Σ w·a = s_c·g · Σ m·n  +  s_c·b·Σ m

The sums Σ m·n are the accumulators. Padding inserts a = 0, which is the code 0 only when b = 0.
A grouped convolution that is not depthwise becomes a full one with zeros between the groups.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from onnx import NodeProto, helper

from qdeploy.ir.integer_graph import Conv, Dense, IntArray
from qdeploy.ir.intervals import accumulator_intervals, convolution_intervals
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import (
    AffineTensor,
    Constant,
    Fractions,
    QuantizedConstant,
    Value,
    fractions_of,
    single,
)
from qdeploy.lowering.integers.builder import Builder


def lower_conv(builder: Builder, node: NodeProto, *operands: Value) -> AffineTensor:
    """A 2-D convolution with quantized weights; a bias becomes part of the offset."""
    x, weights = _inputs(builder, node, *operands[:2])
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if weights.codes.ndim != 4 or attributes.get("auto_pad", b"NOTSET") not in (
        b"NOTSET",
        b"VALID",
    ):
        raise refuse(
            node,
            "a convolution that is not two-dimensional with explicit padding",
            do="use Conv2d with padding given in pixels",
        )
    pads = tuple(int(p) for p in attributes.get("pads", (0, 0, 0, 0)))
    if any(pads) and any(x.offset):
        raise refuse(
            node,
            "zero padding of activations whose code 0 does not mean 0",
            why="the padding cannot be represented: no code means 0",
            do="drop the offset before the convolution, or use padding 0",
        )
    stride, dilation = (
        tuple(int(v) for v in attributes.get(key, (1, 1))) for key in ("strides", "dilations")
    )
    source = builder.tensors[x.tensor]
    groups = int(attributes.get("group", 1))
    if len(source.shape) != 3:
        raise refuse(
            node,
            f"a convolution of a vector of shape {source.shape}",
            why="it takes maps; the mean of a map is known only after the map itself has passed",
            do="give it (channels, height, width): use Linear after an average over the map, and "
            "do not combine features of the whole image with those of its pixels",
        )
    kernel = weights.codes.shape[2:]
    height, width = (
        (size + pads[axis] + pads[axis + 2] - dilation[axis] * (kernel[axis] - 1) - 1)
        // stride[axis]
        + 1
        for axis, size in enumerate(source.shape[1:])
    )
    layer = module_path(node)
    if height < 1 or width < 1:
        raise refuse(
            node,
            f"a kernel of {kernel} on a padded map of {source.shape}",
            do="use a smaller kernel or dilation, or less stride before it",
        )
    codes = weights.codes
    if groups > 1 and not groups == source.shape[0] == len(codes):
        codes, groups = _without_groups(codes, groups), 1
    interval = convolution_intervals(
        codes, source.lo, source.hi, source.shape[1:], stride, pads, dilation
    )
    output = builder.accumulator(node, (len(codes), height, width), interval, "acc")
    builder.nodes.append(
        Conv(
            builder.node_name(layer, "conv"),
            layer,
            (x.tensor,),
            output,
            codes,
            (stride[0], stride[1]),
            (pads[0], pads[1], pads[2], pads[3]),
            (dilation[0], dilation[1]),
            groups,
        )
    )
    result = _scaled(output, x, weights.codes, _row_scales(node, weights))
    return result if len(operands) < 3 else result.plus(_bias(node, operands[2]))


def lower_matmul(builder: Builder, node: NodeProto, *operands: Value) -> AffineTensor:
    """A matrix product activation · constant; weights (in, out) in the file."""
    x, weights = _inputs(builder, node, *operands)
    source = builder.tensors[x.tensor]
    if len(source.shape) != 1 or weights.codes.ndim != 2 or len(weights.codes) != source.size:
        raise refuse(
            node,
            f"a matrix product of {source.shape} with {weights.codes.shape}",
            do="flatten before a fully connected layer",
        )
    transposed = weights.transposed([1, 0])
    layer = module_path(node)
    interval = accumulator_intervals(transposed.codes, source.lo, source.hi)
    output = builder.accumulator(node, (len(transposed.codes),), interval, "acc")
    builder.nodes.append(
        Dense(builder.node_name(layer, "dense"), layer, (x.tensor,), output, transposed.codes)
    )
    return _scaled(output, x, transposed.codes, _row_scales(node, transposed))


def _inputs(
    builder: Builder, node: NodeProto, *operands: Value
) -> tuple[AffineTensor, QuantizedConstant]:
    x, weights = operands
    if not isinstance(x, AffineTensor):
        raise refuse(node, "its first operand is a constant", do="use y = x·W with constant W")
    if isinstance(weights, Constant):
        raise refuse(
            node,
            "its weights are not quantized",
            why="weights are integers of a few bits in the hardware",
            do="use QuantConv2d or QuantLinear (in the file: a Quant node after the weights)",
        )
    if not isinstance(weights, QuantizedConstant):
        raise refuse(
            node, "its weights are not constant", do=f"a {node.op_type} needs constant weights"
        )
    if builder.is_accumulator(x.tensor) or x.steps:
        producer = builder.producer(x.tensor)
        sums = f": it is the sums of layer `{producer.layer}`" if producer else ""
        raise refuse(
            node,
            f"its input is not quantized{sums}",
            why="a layer multiplies codes of a few bits",
            do="put a quantized activation (QuantReLU, QuantIdentity) before it",
        )
    if single(x.gain) is None or single(x.offset) is None:
        raise refuse(
            node,
            "its input has one scale per channel",
            why="the sum runs over channels",
            do="use one scale for the activations",
        )
    return x, weights


def _without_groups(weights: IntArray, groups: int) -> IntArray:
    """Weights (out, in, kh, kw) of the convolution without groups, from (out, in / groups, …)."""
    count, inputs, *kernel = weights.shape
    full = np.zeros((count, inputs * groups, *kernel), dtype=np.int64)
    size = count // groups
    for group in range(groups):
        rows = slice(group * size, (group + 1) * size)
        full[rows, group * inputs : (group + 1) * inputs] = weights[rows]
    return full


def _row_scales(node: NodeProto, weights: QuantizedConstant) -> Fractions:
    """Exact scale of the weights of each output channel (axis 0)."""
    scale = np.broadcast_to(weights.scale, weights.codes.shape)
    rows = scale.reshape(len(scale), -1)
    if (rows != rows[:, :1]).any():
        raise refuse(
            node,
            "its weights have scales that differ within an output channel",
            do="use one scale per layer or per output channel",
        )
    return fractions_of(rows[:, 0])


def _scaled(output: str, x: AffineTensor, weights: IntArray, scales: Fractions) -> AffineTensor:
    gain, offset = x.gain[0], x.offset[0]
    sums = weights.reshape(len(weights), -1).sum(axis=1)
    gains = tuple(s * gain for s in scales)
    offsets = tuple(s * offset * int(m) for s, m in zip(scales, sums, strict=True))
    return AffineTensor(output, gains, offsets)


def _bias(node: NodeProto, value: Value) -> tuple[Fraction, ...]:
    if isinstance(value, Constant):
        if not np.isfinite(value.array).all():
            raise refuse(node, "its bias is not finite", do="train the network again")
        return fractions_of(value.array)
    if isinstance(value, QuantizedConstant):
        scale = np.broadcast_to(value.scale, value.codes.shape).reshape(-1)
        return tuple(
            Fraction(float(s)) * int(c) for s, c in zip(scale, value.codes.reshape(-1), strict=True)
        )
    raise refuse(node, "its bias is not constant", do="use a constant bias")
