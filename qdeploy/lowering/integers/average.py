"""Averages in the lowering: sums of codes with the number of pixels in the scale.

    mean over N pixels of g·n + b   =   g/N · Σ n + b

over the whole map a GlobalSum, over smaller windows a depthwise convolution of ones. Where the
padding does not count, windows at a border have fewer elements: N and the term b depend on the
place, and so does b in padding that counts, where the codes' 0 does not mean 0 (`places.py`).
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import prod

import numpy as np
from onnx import NodeProto

from qdeploy.ir.integer_graph import Conv, GlobalSum
from qdeploy.ir.intervals import convolution_intervals
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, Fractions, single
from qdeploy.lowering.integers.builder import NARROWER, Builder
from qdeploy.lowering.integers.codes import settled
from qdeploy.lowering.integers.join import check_settled
from qdeploy.lowering.integers.places import Kind, Window, add_ranks
from qdeploy.lowering.integers.steps import Placed
from qdeploy.lowering.integers.windows import Windows, average_windows

AVERAGES = ("GlobalAveragePool", "AveragePool", "ReduceMean")


def lower_average(
    builder: Builder, node: NodeProto, value: AffineTensor, axes: list[int] | None = None
) -> AffineTensor:
    """The mean over a map or over windows of it; `axes`: of a ReduceMean with them as an input."""
    source = builder.tensors[value.tensor]
    attributes = attributes_of(node)
    if node.op_type == "ReduceMean":
        found = sorted(axis % 4 for axis in attributes.get("axes", axes) or ())
        whole, known = found == [2, 3], found == [2, 3]
    else:
        known = True
        whole = node.op_type == "GlobalAveragePool" or (
            tuple(attributes["kernel_shape"]) == source.shape[1:]
            and not any(attributes.get("pads", ()))
            and all(step == 1 for step in attributes.get("dilations", ()))
        )
    if len(source.shape) == 1 and whole and node.op_type == "GlobalAveragePool":
        return value  # A map of one pixel is its own mean.
    if len(source.shape) != 3 or not known:
        raise refuse(
            node,
            f"an average over other axes than the two of a map, of {source.shape}",
            why="there is hardware for sums over all pixels of a channel, or over a window",
            do="use AdaptiveAvgPool2d(1), or AvgPool2d(kernel, stride)",
        )
    check_settled(builder, node, value, "an average before the quantizer", sums=False)
    return _global(builder, node, value) if whole else _windows(builder, node, value)


def _global(builder: Builder, node: NodeProto, value: AffineTensor) -> AffineTensor:
    source = builder.tensors[value.tensor]
    pixels = prod(source.shape[1:])
    interval = builder.channel_intervals(value.tensor).times(pixels)
    gain = tuple(g / pixels for g in value.gain)
    scale = single(gain)
    output = builder.accumulator(node, source.shape[:1], interval, "sum", scale, do=NARROWER)
    layer = module_path(node)
    builder.nodes.append(
        GlobalSum(builder.node_name(layer, "pool"), layer, (value.tensor,), output)
    )
    return AffineTensor(output, gain, value.offset)


def _windows(builder: Builder, node: NodeProto, value: AffineTensor) -> AffineTensor:
    attributes = attributes_of(node)
    source = builder.tensors[value.tensor]
    windows = average_windows(attributes, source.shape[1:])
    if windows is None:
        raise refuse(
            node,
            f"an average over windows of {attributes['kernel_shape']} on {source.shape}",
            why="its windows are not two-dimensional, or one lies outside the map",
            do="use AvgPool2d(kernel, stride, padding) with a window no larger than the padded map",
        )
    pads, kernel = windows.pads, windows.kernel
    include = bool(attributes.get("count_include_pad", 0))
    if include and any(len(set(one)) > 1 for one in windows.counts):
        raise refuse(
            node,
            "an average whose padding counts, with windows that reach beyond the padding",
            why="engines do not agree on how many elements such a window of ceil_mode counts",
            do="use count_include_pad=False, or no ceil_mode",
        )
    if any(pads) and include:
        value = settled(builder, node, value, f"{module_path(node)}.padded")
    source = builder.tensors[value.tensor]
    channels, *sizes = source.shape
    ones = np.ones((channels, 1, *kernel), dtype=np.int64)
    window = Window(kernel, windows.stride, pads, windows.dilation)
    meanings = _meanings(windows, window, source.shape[1:], value)
    factors = {factor for factor, _ in meanings.values()}
    alike = len(set(meanings.values())) == 1
    gain = tuple(g * min(factors) for g in value.gain) if alike else value.gain
    interval = convolution_intervals(
        ones, source.lo, source.hi, tuple(sizes), windows.stride, pads, windows.dilation
    )
    shape = (channels, *windows.shape)
    output = builder.accumulator(
        node, shape, interval, "sum", single(gain) if alike else None, do=NARROWER
    )
    builder.codes.add(output)
    layer = module_path(node)
    builder.nodes.append(
        Conv(
            builder.node_name(layer, "pool"),
            layer,
            (value.tensor,),
            output,
            ones,
            windows.stride,
            pads,
            windows.dilation,
            channels,
        )
    )
    if alike:
        return AffineTensor(output, gain, next(iter(meanings.values()))[1])
    del builder.sources[output]  # Sums are no means: how many elements they are of differs.
    ranks, found = add_ranks(builder, node, value.tensor, window, meanings)
    step = Placed(ranks, *map(tuple, zip(*found, strict=True)))
    return AffineTensor(output, gain).then(step)


def _meanings(
    windows: Windows, window: Window, sizes: tuple[int, ...], value: AffineTensor
) -> dict[Kind, tuple[Fraction, Fractions]]:
    """For each kind of place: what a sum is multiplied by, and the term of each channel."""
    found: dict[Kind, tuple[Fraction, Fractions]] = {}
    rows, columns = window.taps(sizes)
    for (high, row), (wide, column) in product(
        zip(windows.counts[0], rows, strict=True), zip(windows.counts[1], columns, strict=True)
    ):
        inside = Fraction(len(row) * len(column), high * wide)
        meaning = Fraction(1, high * wide), tuple(b * inside for b in value.offset)
        found[row, column] = meaning
    return found
