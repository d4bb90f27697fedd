"""Averages in the lowering: sums of codes with the number of pixels in the scale.

    mean over N pixels of g·n + b   =   g/N · Σ n + b

over the whole map a GlobalSum, over smaller windows a depthwise convolution of ones. N has to be
one number for all windows, since sums of codes have one scale; where the padding does not count,
those at a border have fewer elements. What lies in padding that counts is 0: codes whose 0 means 0.
"""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import NodeProto

from qdeploy.ir.integer_graph import Conv, GlobalSum
from qdeploy.ir.intervals import convolution_intervals
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, single
from qdeploy.lowering.integers.builder import NARROWER, Builder
from qdeploy.lowering.integers.codes import settled
from qdeploy.lowering.integers.join import check_settled
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
    if windows.elements is None:
        raise refuse(
            node,
            "an average whose windows at the border have fewer pixels",
            why="the sums of all windows share one scale, so each has to count as many pixels; "
            f"these count {_counts(windows)}",
            do="use count_include_pad=True without ceil_mode, or no padding and windows that end "
            "where the map does",
        )
    pads, kernel = windows.pads, windows.kernel
    if any(pads) and attributes.get("count_include_pad", 0):
        value = settled(builder, node, value, f"{module_path(node)}.padded")
        if any(value.offset):
            raise refuse(
                node,
                "zero padding of activations whose code 0 does not mean 0",
                do="use no padding, or drop the offset before the average",
            )
    source = builder.tensors[value.tensor]
    channels, *sizes = source.shape
    ones = np.ones((channels, 1, *kernel), dtype=np.int64)
    gain = tuple(g / windows.elements for g in value.gain)
    interval = convolution_intervals(
        ones, source.lo, source.hi, tuple(sizes), windows.stride, pads, windows.dilation
    )
    shape = (channels, *windows.shape)
    output = builder.accumulator(node, shape, interval, "sum", single(gain), do=NARROWER)
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
    return AffineTensor(output, gain, value.offset)


def _counts(windows: Windows) -> str:
    """How many elements the windows count, for people."""
    found = sorted({high * wide for high in windows.counts[0] for wide in windows.counts[1]})
    return f"{', '.join(map(str, found[:-1]))} or {found[-1]}"
