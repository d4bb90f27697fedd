"""Maps with more pixels in the lowering: Resize and Upsample, DepthToSpace.

nearest by integers    Upsample: each pixel repeated, what it means unchanged
DepthToSpace           channels of a pixel laid out: those that become one mean the same
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from onnx import NodeProto

from qdeploy.ir.integer_graph import Conv, DepthToSpace, Upsample
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.passes import shape_of
from qdeploy.lowering.canonical.refusal import NEAREST, SHUFFLE, refuse
from qdeploy.lowering.integers.affine import (
    AffineTensor,
    Constant,
    shortened,
    single,
)
from qdeploy.lowering.integers.builder import Builder
from qdeploy.lowering.integers.context import Context
from qdeploy.lowering.integers.join import check_settled
from qdeploy.lowering.integers.nearest import NearestRule
from qdeploy.lowering.integers.steps import Pooled

_MAP_AXES = 3


def lower_resize(context: Context, node: NodeProto) -> AffineTensor:
    """Resize or Upsample that repeats pixels."""
    builder, value = context.builder, _map(context, node, NEAREST)
    attributes = attributes_of(node)
    mode = attributes.get("mode", b"nearest").decode(errors="replace")
    before, after = (shape_of(context.model, name) for name in (node.input[0], node.output[0]))
    factors = [Fraction(b, a) for a, b in zip(before, after, strict=False)]
    shown = " and ".join(f"{float(factor):g}" for factor in factors[2:])
    if mode != "nearest":
        raise refuse(
            node,
            f"it enlarges by {shown} in mode {mode[:40]}",
            expected=NEAREST,
            why="pixels are repeated in the stream, not mixed",
            do="use mode='nearest' with integer factors, or a ConvTranspose2d with the weights of "
            "the interpolation, and retrain",
        )
    whole = len(factors) == _MAP_AXES + 1 and all(factor.denominator == 1 for factor in factors)
    if not whole or factors[:2] != [1, 1]:
        raise refuse(
            node,
            f"it resizes {before[1:]} to {after[1:]}",
            expected=NEAREST,
            why="each pixel is repeated the same number of times in a row, and each row",
            do="use integer factors for height and width",
        )
    given, rule = _given_scales(context, node, attributes), NearestRule.of(node)
    for axis in (2, 3):
        times = int(factors[axis])
        scale = Fraction(given.get(axis, times))
        if not rule.repeats(before[axis], times, scale):
            raise refuse(
                node,
                f"by its rule ({rule}) not every pixel is the nearest {times} times",
                expected=NEAREST,
                why="each pixel is repeated the same number of times",
                do="export with coordinate_transformation_mode asymmetric and nearest_mode floor",
            )
    factor = int(factors[2]), int(factors[3])
    if factor == (1, 1):
        return value
    channels, height, width = builder.tensors[value.tensor].shape
    shape = channels, height * factor[0], width * factor[1]
    output = _moved(builder, node, value, shape)
    layer = module_path(node)
    builder.nodes.append(
        Upsample(builder.node_name(layer, "upsample"), layer, (value.tensor,), output, factor)
    )
    return replace(value, tensor=output, turned=frozenset())


def lower_depth_to_space(context: Context, node: NodeProto) -> AffineTensor:
    """Channels laid out as pixels, in either of ONNX's two orders."""
    builder, value = context.builder, _map(context, node, SHUFFLE)
    attributes = attributes_of(node)
    block, mode = int(attributes["blocksize"]), attributes.get("mode", b"DCR")
    inputs, height, width = builder.tensors[value.tensor].shape
    squares = block * block
    if block < 1 or inputs % squares:
        raise refuse(
            node,
            f"{inputs} channels for squares of {block} pixels",
            expected=SHUFFLE,
            do="give it a multiple of the square's pixels as channels",
        )
    channels = inputs // squares
    # Of channel c of pixel p of a square, its place in the input: here (p, c), or (c, p).
    order = np.arange(inputs)
    if mode == b"CRD":
        order = order.reshape(channels, squares).T.reshape(-1)
    gains, offsets = (np.array(ends, object)[order] for ends in value.expanded(inputs))
    per_square = [ends.reshape(squares, channels) for ends in (gains, offsets)]
    uneven = any((ends != ends[:1]).any() for ends in per_square)
    if uneven or any(not isinstance(step, Pooled) for step in value.steps):
        raise refuse(
            node,
            "the channels that it makes one of have scales, biases or activations of their own",
            expected=SHUFFLE,
            why="what comes after it has one scale and one bias for each of its channels",
            do="put the quantizer before PixelShuffle",
        )
    name = _ordered(builder, node, value.tensor, order)
    gain, offset = (tuple(ends[0].tolist()) for ends in per_square)
    moved = AffineTensor(name, shortened(gain), shortened(offset))
    output = _moved(builder, node, moved, (channels, height * block, width * block))
    if builder.is_accumulator(value.tensor):
        builder.sums.add(output)
    layer = module_path(node)
    builder.nodes.append(
        DepthToSpace(builder.node_name(layer, "spread"), layer, (name,), output, block)
    )
    return replace(moved, tensor=output)


def _ordered(builder: Builder, node: NodeProto, name: str, order: np.ndarray) -> str:
    """A tensor with its channels in another order: by a convolution of kernel 1 that picks them."""
    count = len(order)
    if (order == np.arange(count)).all():
        return name
    source, layer = builder.tensors[name], module_path(node)
    weights = np.zeros((count, count, 1, 1), dtype=np.int64)
    weights[np.arange(count), order] = 1
    before = builder.channel_intervals(name)
    interval = replace(
        before,
        lo=tuple(before.lo[place] for place in order),
        hi=tuple(before.hi[place] for place in order),
    )
    output = builder.accumulator(node, source.shape, interval, "ordered", source.scale)
    del builder.sources[output]  # It is no tensor of the file.
    builder.codes.add(output)
    builder.nodes.append(Conv(builder.node_name(layer, "order"), layer, (name,), output, weights))
    return output


def _map(context: Context, node: NodeProto, expected: str) -> AffineTensor:
    """The node's input, a map; max-pools before the quantizer have to be done."""
    value = context.activation(node)
    if value.steps and not context.builder.is_accumulator(value.tensor):
        value = context.settle(node.input[0], value)
    if any(isinstance(step, Pooled) for step in value.steps):
        check_settled(context.builder, node, value, "a max-pool before it has no quantizer")
    shape = context.builder.tensors[value.tensor].shape
    if len(shape) != _MAP_AXES:
        raise refuse(
            node,
            f"it enlarges a vector of {shape[0]} features",
            expected=expected,
            why="the mean of a map is known only after the map itself has passed",
            do="give it (channels, height, width)",
        )
    return value


def _moved(
    builder: Builder, node: NodeProto, value: AffineTensor, shape: tuple[int, int, int]
) -> str:
    """The tensor of a larger map with codes, or sums, of the value's type."""
    source = builder.tensors[value.tensor]
    sums = builder.is_accumulator(value.tensor)
    name = f"{module_path(node)}.{'sums' if sums else 'code'}"
    scale = None if any(value.offset) or value.steps else single(value.gain)
    tensor = replace(source, name=name, shape=shape, scale=scale)
    output = builder.add_tensor(tensor, None if value.steps else node.output[0])
    if value.tensor in builder.intervals and shape[0] == source.shape[0]:
        builder.intervals[output] = builder.intervals[value.tensor]
    if sums:
        builder.sums.add(output)
    return output


def _given_scales(
    context: Context, node: NodeProto, attributes: dict[str, Any]
) -> dict[int, float]:
    """The scales that the file gives, by axis; none where it gives sizes."""
    place = 1 if node.op_type == "Upsample" or len(node.input) == 2 else 2
    value = context.values.get(node.input[place]) if len(node.input) > place else None
    given = value.array.reshape(-1) if isinstance(value, Constant) else attributes.get("scales", ())
    axes = attributes.get("axes", range(len(given)))
    return {int(axis): float(scale) for axis, scale in zip(axes, given, strict=False)}
