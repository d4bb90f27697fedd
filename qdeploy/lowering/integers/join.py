"""Residual sums and averages in the lowering: nodes that add codes.

    a = g·n + b,  c = g·m + d         ->  a + c = g·(n + m) + (b + d)      one Add: n + m
    a = g·n + b,  c = h·n + d         ->  a + c = (g + h)·n + (b + d)      no node: one tensor
    mean over N pixels of g·n + b      =  g/N · Σ n + b                    one GlobalSum: Σ n

An integer adder needs both branches on one grid: the gains have to be equal as fractions.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from onnx import NodeProto, helper

from qdeploy.ir.integer_graph import Add, GlobalSum
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, Fractions, single
from qdeploy.lowering.integers.builder import Builder

_NARROWER = "quantize the sum, or use fewer bits before it"
AVERAGES = ("GlobalAveragePool", "AveragePool", "ReduceMean")


def lower_add(builder: Builder, node: NodeProto, a: AffineTensor, b: AffineTensor) -> AffineTensor:
    """The sum of two quantized branches of one shape and one scale."""
    for branch in (a, b):
        _quantized(builder, node, branch, "one of its two inputs is not quantized")
    left, right = (builder.tensors[branch.tensor] for branch in (a, b))
    if a.tensor == b.tensor:
        return _sum_of_maps(a, b, left.shape[0])
    if left.shape != right.shape:
        raise refuse(
            node,
            f"its two inputs have different shapes ({left.shape} and {right.shape})",
            why="an adder takes two streams of the same number of elements, one by one",
            do="put a convolution of kernel 1 with the block's stride on the shortcut",
        )
    gains, others = a.expanded(left.shape[0])[0], b.expanded(left.shape[0])[0]
    if gains != others:
        raise refuse(
            node,
            f"its two inputs have different scales ({_shown(gains)} and {_shown(others)})",
            why="an integer adder needs both branches on one grid",
            do="put the same quantizer (one QuantIdentity) on both branches and retrain",
        )
    interval = builder.channel_intervals(a.tensor).plus(builder.channel_intervals(b.tensor))
    scale = single(gains)
    output = builder.accumulator(node, left.shape, interval, "sum", scale, do=_NARROWER)
    layer = module_path(node)
    builder.nodes.append(Add(builder.node_name(layer, "add"), layer, (a.tensor, b.tensor), output))
    return AffineTensor(output, a.gain).plus(a.offset).plus(b.offset)


def lower_average(
    builder: Builder, node: NodeProto, value: AffineTensor, axes: list[int] | None = None
) -> AffineTensor:
    """The mean over all pixels of a map; `axes`: of a ReduceMean that has them as an input."""
    source = builder.tensors[value.tensor]
    if len(source.shape) != 3 or not _whole_map(node, source.shape, axes):
        raise refuse(
            node,
            f"an average that does not cover the whole map of {source.shape}",
            why="there is hardware only for sums over all pixels of a channel",
            do="use AdaptiveAvgPool2d(1), or a convolution with stride to make the map smaller",
        )
    _quantized(builder, node, value, "an average before the quantizer")
    pixels = prod(source.shape[1:])
    interval = builder.channel_intervals(value.tensor).times(pixels)
    gain = tuple(g / pixels for g in value.gain)
    scale = single(gain)
    output = builder.accumulator(node, source.shape[:1], interval, "sum", scale, do=_NARROWER)
    layer = module_path(node)
    builder.nodes.append(
        GlobalSum(builder.node_name(layer, "pool"), layer, (value.tensor,), output)
    )
    return AffineTensor(output, gain, value.offset)


def _sum_of_maps(a: AffineTensor, b: AffineTensor, channels: int) -> AffineTensor:
    gains = zip(a.expanded(channels)[0], b.expanded(channels)[0], strict=True)
    total = tuple(g + h for g, h in gains)
    one = single(total)
    return replace(a, gain=total if one is None else (one,)).plus(b.offset)


def _quantized(builder: Builder, node: NodeProto, value: AffineTensor, found: str) -> None:
    if not builder.is_accumulator(value.tensor) and not value.steps:
        return
    producer = builder.producer(value.tensor)
    layer = f" (from layer `{producer.layer}`)" if producer else ""
    raise refuse(
        node,
        found + layer,
        why="sums of branches and of pixels are sums of codes of a few bits",
        do="put a quantizer (QuantIdentity or QuantReLU) after the layer and its batch norm",
    )


def _shown(gains: Fractions) -> str:
    """A scale as a person reads it; the first two of several."""
    if single(gains) is not None:
        return f"{float(gains[0]):.6g}"
    return ", ".join(f"{float(g):.6g}" for g in gains[:2]) + ", …"


def _whole_map(node: NodeProto, shape: tuple[int, ...], axes: list[int] | None) -> bool:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "GlobalAveragePool":
        return True
    if node.op_type == "ReduceMean":
        return sorted(axis % 4 for axis in attributes.get("axes", axes) or ()) == [2, 3]
    return (
        tuple(attributes["kernel_shape"]) == shape[1:]
        and not any(attributes.get("pads", ()))
        and attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    )
