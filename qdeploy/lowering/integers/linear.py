"""Convolutions and matrix products in the lowering.

    a_i = g_i·n_i + b_i,  w_ci = s_c·m_ci   ->   Σ w·a = s_c·g · Σ r_i·m_ci·n_i  +  s_c·Σ b_i·m_ci

The sums are the accumulators. Channels of one gain have r_i = 1; others are brought to one grid g
by integers r_i = g_i / g that go into the weights (a sign, a power of two). Where each output reads
one channel only, as in a depthwise convolution, every channel keeps its own gain.

Padding inserts a = 0, which is the code 0 only when b = 0. Codes with another meaning are first
made into such; where their values lie on no grid, the last term differs at the border: `places.py`.
A grouped convolution that is not depthwise becomes a full one with zeros between the groups. A
convolution of a vector, the mean of a map, is a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import gcd, lcm

import numpy as np
from onnx import NodeProto

from qdeploy.ir.integer_graph import Conv, Dense, IntArray
from qdeploy.ir.intervals import accumulator_intervals, convolution_intervals
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import (
    AffineTensor,
    Constant,
    Fractions,
    QuantizedConstant,
    Value,
    expand,
    fractions_of,
    single,
)
from qdeploy.lowering.integers.builder import Builder
from qdeploy.lowering.integers.codes import settled
from qdeploy.lowering.integers.places import Kind, Window, add_ranks
from qdeploy.lowering.integers.steps import Placed

# Of weights that bring channels of different scales to one grid.
MOST_FACTOR = 1 << 10


def lower_conv(builder: Builder, node: NodeProto, *operands: Value) -> AffineTensor:
    """A 2-D convolution with quantized weights; a bias becomes part of the offset."""
    x, weights = layer_inputs(builder, node, *operands[:2])
    attributes = attributes_of(node)
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
        x = settled(builder, node, x, f"{module_path(node)}.padded")
    stride, dilation = (
        tuple(int(v) for v in attributes.get(key, (1, 1))) for key in ("strides", "dilations")
    )
    source = builder.tensors[x.tensor]
    groups = int(attributes.get("group", 1))
    if len(source.shape) != 3:
        return _of_vector(builder, node, x, weights, operands[2:], pads, groups)
    result = convolved(
        builder,
        node,
        x,
        weights,
        stride=(stride[0], stride[1]),
        pads=(pads[0], pads[1], pads[2], pads[3]),
        dilation=(dilation[0], dilation[1]),
        groups=groups,
    )
    return result if len(operands) < 3 else result.plus(bias_of(node, operands[2]))


def convolved(
    builder: Builder,
    node: NodeProto,
    x: AffineTensor,
    weights: QuantizedConstant,
    *,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> AffineTensor:
    """The sums of a convolution of a map; where it pads, with 0 whatever code 0 means.

    Args:
        weights: (out, in / groups, kh, kw).
        pads: (top, left, bottom, right).
    """
    source, kernel = builder.tensors[x.tensor], weights.codes.shape[2:]
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
    scales = _row_scales(node, weights)
    if groups > 1 and not groups == source.shape[0] == len(weights.codes):
        weights, groups = replace(weights, codes=_without_groups(weights.codes, groups)), 1
    codes, gain, offset = _on_one_grid(node, x, weights.codes, groups)
    window = Window((kernel[0], kernel[1]), stride, pads, dilation)
    border = any(x.offset) and len(window.kinds(source.shape[1:])) > 1
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
            stride,
            pads,
            dilation,
            groups,
        )
    )
    if not border:
        return _scaled(output, gain, offset, scales)
    del builder.sources[output]  # What it holds is the file's but for the border.
    meanings = {
        kind: _scaled(output, gain, _totals(x, _inside(weights.codes, kind), groups), scales).offset
        for kind in window.kinds(source.shape[1:])
    }
    ranks, offsets = add_ranks(builder, node, x.tensor, window, meanings)
    step = Placed(ranks, (Fraction(1),) * len(offsets), tuple(offsets))
    return _scaled(output, gain, (Fraction(0),), scales).then(step)


def _inside(weights: IntArray, kind: Kind) -> IntArray:
    """The weights (out, in / groups, taps) of a window whose other taps lie in the padding."""
    rows, columns = (np.array(taps, dtype=np.int64) for taps in kind)
    return weights[:, :, rows[:, None], columns[None, :]]


def lower_matmul(builder: Builder, node: NodeProto, *operands: Value) -> AffineTensor:
    """A matrix product activation · constant; weights (in, out) in the file."""
    x, weights = layer_inputs(builder, node, *operands)
    source = builder.tensors[x.tensor]
    if len(source.shape) != 1 or weights.codes.ndim != 2 or len(weights.codes) != source.size:
        raise refuse(
            node,
            f"a matrix product of {source.shape} with {weights.codes.shape}",
            do="flatten before a fully connected layer",
        )
    return _dense(builder, node, x, weights.transposed([1, 0]))


def _dense(
    builder: Builder, node: NodeProto, x: AffineTensor, weights: QuantizedConstant
) -> AffineTensor:
    """A matrix product with weights (out, in)."""
    source, layer = builder.tensors[x.tensor], module_path(node)
    codes, gain, offset = _on_one_grid(node, x, weights.codes, 1)
    interval = accumulator_intervals(codes, source.lo, source.hi)
    output = builder.accumulator(node, (len(codes),), interval, "acc")
    builder.nodes.append(
        Dense(builder.node_name(layer, "dense"), layer, (x.tensor,), output, codes)
    )
    return _scaled(output, gain, offset, _row_scales(node, weights))


def _of_vector(
    builder: Builder,
    node: NodeProto,
    x: AffineTensor,
    weights: QuantizedConstant,
    bias: Sequence[Value],
    pads: tuple[int, ...],
    groups: int,
) -> AffineTensor:
    """A convolution of a map of one pixel, which is a vector here."""
    size, kernel = builder.tensors[x.tensor].size, weights.codes.shape[2:]
    one_pixel = all(
        pads[axis] + pads[axis + 2] == kernel[axis] - 1 and pads[axis] < kernel[axis]
        for axis in range(2)
    )
    if not one_pixel or weights.codes.shape[1] * groups != size:
        raise refuse(
            node,
            f"a convolution of a vector of shape ({size},)",
            why="it takes maps; the mean of a map is known only after the map itself has passed",
            do="give it (channels, height, width): use Linear after an average over the map, and "
            "do not combine features of the whole image with those of its pixels",
        )
    scale = np.broadcast_to(weights.scale, weights.codes.shape)
    # Only the tap over the pixel meets it; the others lie in the padding.
    codes, scales = (part[:, :, pads[0], pads[1]] for part in (weights.codes, scale))
    if groups > 1:
        rows = scales[:, :1]
        codes = _without_groups(codes[:, :, None, None], groups)[:, :, 0, 0]
        scales = np.broadcast_to(rows, codes.shape)
    result = _dense(builder, node, x, QuantizedConstant(codes, scales))
    return result if not bias else result.plus(bias_of(node, bias[0]))


def layer_inputs(
    builder: Builder, node: NodeProto, *operands: Value
) -> tuple[AffineTensor, QuantizedConstant]:
    """Codes and quantized weights of a layer.

    Raises:
        UnsupportedLayerError: one of them is something else.
    """
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
    if x.steps and not builder.is_accumulator(x.tensor):
        raise refuse(
            node,
            "its input is codes behind steps (such as Sigmoid) whose values lie on no common grid",
            why="a layer multiplies codes of a few bits",
            do="put a quantizer (QuantIdentity) behind the last of these steps",
        )
    if builder.is_accumulator(x.tensor):
        producer = builder.producer(x.tensor)
        sums = f": it is the sums of layer `{producer.layer}`" if producer else ""
        raise refuse(
            node,
            f"its input is not quantized{sums}",
            why="a layer multiplies codes of a few bits",
            do="put a quantized activation (QuantReLU, QuantIdentity) before it",
        )
    return x, weights


def _on_one_grid(
    node: NodeProto, x: AffineTensor, weights: IntArray, groups: int
) -> tuple[IntArray, Fractions, Fractions]:
    """Weights for codes of channels with their own maps, with gain and offset of each output.

    Args:
        weights: (out, in / groups, …); `groups` is 1, or the number of channels.

    Returns:
        The weights on one grid; for each output, or for all, the gain of its sums and their offset,
        both without the weights' own scale.
    """
    gain, totals = single(x.gain), _totals(x, weights, groups)
    if gain is not None or groups > 1:
        return weights, (gain,) if gain is not None else x.gain, totals
    unit, factors = common_grid(x.gain)
    if max(map(abs, factors)) > MOST_FACTOR:
        raise refuse(
            node,
            "its input has one scale per channel",
            why="the sum runs over channels, and their scales are no small multiples of one",
            do="use one scale for the activations, or scales that are powers of two; for a batch "
            "norm behind a quantizer: put it before that quantizer, or a quantizer behind it; "
            "for what a Concat joins: one quantizer on all its branches, or one behind it",
        )
    spread = np.array(factors, dtype=np.int64).reshape(1, -1, *([1] * (weights.ndim - 2)))
    return weights * spread, (unit,), totals


def _totals(x: AffineTensor, weights: IntArray, groups: int) -> Fractions:
    """What the offsets of the inputs come to in each output, without the weights' scale."""
    count, inputs = weights.shape[0], weights.shape[1]
    sums = weights.reshape(count, inputs, -1).sum(axis=2)
    if groups > 1:
        offsets = expand(x.offset, count)
        return tuple(b * int(m) for b, m in zip(offsets, sums[:, 0], strict=True))
    offset = single(x.offset)
    if offset is not None:
        return tuple(offset * int(m) for m in sums.sum(axis=1))
    return tuple(
        sum((b * int(m) for b, m in zip(x.offset, row, strict=True)), Fraction(0)) for row in sums
    )


def common_grid(gains: Fractions) -> tuple[Fraction, list[int]]:
    """The largest positive number of which all gains are multiples, and these multiples."""
    unit = Fraction(1, lcm(*(gain.denominator for gain in gains)))
    unit *= gcd(*(int(gain / unit) for gain in gains)) or 1
    return unit, [int(gain / unit) for gain in gains]


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


def _scaled(output: str, gain: Fractions, offset: Fractions, scales: Fractions) -> AffineTensor:
    count = len(scales)
    gains, offsets = (
        tuple(s * part for s, part in zip(scales, expand(parts, count), strict=True))
        for parts in (gain, offset)
    )
    return AffineTensor(output, gains, offsets)


def bias_of(node: NodeProto, value: Value) -> tuple[Fraction, ...]:
    """The exact bias of a layer, one for each output channel."""
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
