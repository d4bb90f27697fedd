"""Residual sums in the lowering: nodes that add integers of two branches.

    a = g·n + b,  c = h·m + d    ->  a + c = u·(p·n + q·m) + (b + d)   p = g/u, q = h/u integers
    a = g·n + b,  c = h·n + d    ->  a + c = (g + h)·n + (b + d)       no node: one tensor

An integer adder needs both branches on one grid. Where the gains of a channel are equal, p = q = 1
and it is one Add. Where they are multiples of a common u, a convolution of kernel 1 (a matrix, for
a vector) with p, or q, brings a branch there; a difference has q = -1. Gains with no small common
grid, such as 0.5 and the float32 0.3, make sums of many bits, and end at the accumulator's width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from onnx import NodeProto

from qdeploy.ir.integer_graph import Add, Conv, Dense
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, Fractions, single
from qdeploy.lowering.integers.builder import Builder
from qdeploy.lowering.integers.linear import common_grid

NARROWER = "quantize the sum, or use fewer bits before it"
# Weights of a branch are exact in float32, where FINN keeps them.
_MOST_MULTIPLE = 1 << 23


def lower_add(builder: Builder, node: NodeProto, a: AffineTensor, b: AffineTensor) -> AffineTensor:
    """The sum of two branches of one shape."""
    left, right = (builder.tensors[branch.tensor] for branch in (a, b))
    for branch in (a, b):
        check_settled(builder, node, branch, "one of its two inputs is not quantized")
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
    grids = [common_grid((g, h)) for g, h in zip(gains, others, strict=True)]
    units = tuple(unit for unit, _ in grids)
    multiples = [[factors[side] for _, factors in grids] for side in range(2)]
    if max(abs(one) for side in multiples for one in side) > _MOST_MULTIPLE:
        raise refuse(
            node,
            f"its two inputs have different scales ({_shown(gains)} and {_shown(others)})",
            why="an integer adder needs both branches on one grid, and the scales are no multiples "
            "of a common one that is not far smaller",
            do="put the same quantizer (one QuantIdentity) on both branches and retrain",
        )
    names = [
        _multiplied(builder, node, branch.tensor, factors)
        for branch, factors in zip((a, b), multiples, strict=True)
    ]
    interval = builder.channel_intervals(names[0]).plus(builder.channel_intervals(names[1]))
    output = builder.accumulator(node, left.shape, interval, "sum", single(units), do=NARROWER)
    if any(builder.is_accumulator(branch.tensor) for branch in (a, b)):
        builder.sums.add(output)
    layer = module_path(node)
    builder.nodes.append(Add(builder.node_name(layer, "add"), layer, (names[0], names[1]), output))
    one = single(units)
    gain = units if one is None else (one,)
    return AffineTensor(output, gain).plus(a.offset).plus(b.offset)


def check_settled(
    builder: Builder, node: NodeProto, value: AffineTensor, found: str, *, sums: bool = True
) -> None:
    """Refuse a value with steps pending; `sums`: whether those of a layer are taken."""
    if not value.steps and (sums or not builder.is_accumulator(value.tensor)):
        return
    producer = builder.producer(value.tensor)
    layer = f" (from layer `{producer.layer}`)" if producer else ""
    raise refuse(
        node,
        found + layer,
        why="sums of branches and of pixels are sums of codes of a few bits",
        do="put a quantizer (QuantIdentity or QuantReLU) after the layer and its batch norm",
    )


def _multiplied(builder: Builder, node: NodeProto, name: str, factors: Sequence[int]) -> str:
    """A tensor with each channel times its own integer."""
    if all(factor == 1 for factor in factors):
        return name
    source, layer = builder.tensors[name], module_path(node)
    weights = np.array(factors, dtype=np.int64)
    before = builder.channel_intervals(name)
    pairs = [
        sorted((lo * f, hi * f)) for lo, hi, f in zip(before.lo, before.hi, factors, strict=True)
    ]
    interval = Intervals(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))
    output = builder.accumulator(node, source.shape, interval, "multiple", do=NARROWER)
    del builder.sources[output]  # It is no tensor of the file.
    unit = builder.node_name(layer, "multiple")
    if len(source.shape) == 1:
        builder.nodes.append(Dense(unit, layer, (name,), output, np.diag(weights)))
        return output
    kernel = weights.reshape(-1, 1, 1, 1)
    builder.nodes.append(Conv(unit, layer, (name,), output, kernel, groups=len(kernel)))
    return output


def _sum_of_maps(a: AffineTensor, b: AffineTensor, channels: int) -> AffineTensor:
    gains = zip(a.expanded(channels)[0], b.expanded(channels)[0], strict=True)
    total = tuple(g + h for g, h in gains)
    one = single(total)
    return replace(a, gain=total if one is None else (one,)).plus(b.offset)


def _shown(gains: Fractions) -> str:
    """A scale as a person reads it; the first two of several."""
    if single(gains) is not None:
        return f"{float(gains[0]):.6g}"
    return ", ".join(f"{float(g):.6g}" for g in gains[:2]) + ", …"
