"""Averages in the lowering: sums of codes with the number of pixels in the scale.

    mean over N pixels of g·n + b   =   g/N · Σ n + b

over the whole map a GlobalSum, over smaller windows a depthwise convolution of ones. Where padding
counts, as zeros, the codes' 0 has to mean 0; where it does not, N would depend on the place.
"""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import NodeProto, helper

from qdeploy.ir.integer_graph import Conv, GlobalSum
from qdeploy.ir.intervals import convolution_intervals
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, single
from qdeploy.lowering.integers.builder import Builder
from qdeploy.lowering.integers.codes import settled
from qdeploy.lowering.integers.join import NARROWER, check_settled

AVERAGES = ("GlobalAveragePool", "AveragePool", "ReduceMean")


def lower_average(
    builder: Builder, node: NodeProto, value: AffineTensor, axes: list[int] | None = None
) -> AffineTensor:
    """The mean over a map or over windows of it; `axes`: of a ReduceMean with them as an input."""
    source = builder.tensors[value.tensor]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "ReduceMean":
        found = sorted(axis % 4 for axis in attributes.get("axes", axes) or ())
        whole, known = found == [2, 3], found == [2, 3]
    else:
        known = node.op_type == "GlobalAveragePool" or _is_plain(attributes)
        whole = node.op_type == "GlobalAveragePool" or (
            tuple(attributes["kernel_shape"]) == source.shape[1:]
            and not any(attributes.get("pads", ()))
        )
    if len(source.shape) == 1 and whole and node.op_type == "GlobalAveragePool":
        return value  # A map of one pixel is its own mean.
    if len(source.shape) != 3 or not known:
        raise refuse(
            node,
            f"an average that is neither over the whole map of {source.shape} nor over windows "
            "with explicit padding less than a window",
            why="there is hardware for sums over all pixels of a channel, or over a window",
            do="use AdaptiveAvgPool2d(1), or AvgPool2d(kernel, stride) without ceil_mode",
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
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    kernel = tuple(int(n) for n in attributes["kernel_shape"])
    stride = tuple(int(n) for n in attributes.get("strides", (1, 1)))
    pads = tuple(int(n) for n in attributes.get("pads", (0, 0, 0, 0)))
    if any(pads) and not attributes.get("count_include_pad", 0):
        raise refuse(
            node,
            "an average whose windows at the border have fewer pixels",
            why="the sums of all windows share one scale, so each has to count as many pixels",
            do="use count_include_pad=True, or no padding",
        )
    if any(pads):
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
    height, width = (
        (size + pads[axis] + pads[axis + 2] - kernel[axis]) // stride[axis] + 1
        for axis, size in enumerate(sizes)
    )
    if min(height, width) < 1:
        raise refuse(node, f"a window of {kernel} on {source.shape}", do="use a smaller window")
    gain = tuple(g / prod(kernel) for g in value.gain)
    interval = convolution_intervals(ones, source.lo, source.hi, tuple(sizes), stride, pads)
    shape = (channels, height, width)
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
            (stride[0], stride[1]),
            (pads[0], pads[1], pads[2], pads[3]),
            (1, 1),
            channels,
        )
    )
    return AffineTensor(output, gain, value.offset)


def _is_plain(attributes: dict[str, object]) -> bool:
    """Whether a window is two-dimensional, with its padding in numbers."""
    kernel, dilations = attributes["kernel_shape"], attributes.get("dilations", ())
    assert isinstance(kernel, list) and isinstance(dilations, list | tuple)
    pads = attributes.get("pads", (0, 0, 0, 0))
    assert isinstance(pads, list | tuple)
    return (
        len(kernel) == 2
        and all(pad < kernel[axis % 2] for axis, pad in enumerate(pads))
        and not attributes.get("ceil_mode", 0)
        and all(d == 1 for d in dilations)
        and attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    )
