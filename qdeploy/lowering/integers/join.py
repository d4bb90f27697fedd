"""Residual sums in the lowering: nodes that add integers of two branches.

    a = g·n + b,  c = h·m + d    ->  a + c = u·(p·n + q·m) + (b + d)   p = g/u, q = h/u integers
    a = g·n + b,  c = h·n + d    ->  a + c = (g + h)·n + (b + d)       no node: one tensor

An integer adder needs both branches on one grid. Where the gains of a channel are equal, p = q = 1
and it is one Add. Where they are multiples of a common u, a convolution of kernel 1 (a matrix, for
a vector) with p, or q, brings a branch there; a difference has q = -1. Gains with no small common
grid, such as 0.5 and the float32 0.3, have p and q of many bits: `wide_sums.py` finds small ones
that give the quantizers behind the sum the same codes.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from onnx import NodeProto

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Add, IntType
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, Fractions, shortened, single
from qdeploy.lowering.integers.builder import ACCUMULATOR_BITS, NARROWER, Builder, WideSum
from qdeploy.lowering.integers.linear import common_grid
from qdeploy.lowering.integers.wide_sums import SMALL, WIDE_BITS, multiplied

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
    most = max(abs(one) for side in multiples for one in side)
    layer, shown = module_path(node), f"{_shown(gains)} and {_shown(others)}"
    if most > SMALL:
        output = _wide(builder, node, (a.tensor, b.tensor), multiples, single(units), shown)
        names = [a.tensor, b.tensor]
    else:
        names = [
            multiplied(builder, node, branch.tensor, factors, builder.nodes)
            for branch, factors in zip((a, b), multiples, strict=True)
        ]
        interval = builder.channel_intervals(names[0]).plus(builder.channel_intervals(names[1]))
        output = builder.accumulator(node, left.shape, interval, "sum", single(units), do=NARROWER)
    if any(builder.is_accumulator(branch.tensor) for branch in (a, b)):
        builder.sums.add(output)
    builder.nodes.append(Add(builder.node_name(layer, "add"), layer, (names[0], names[1]), output))
    return AffineTensor(output, shortened(units)).plus(a.offset).plus(b.offset)


def _wide(
    builder: Builder,
    node: NodeProto,
    parts: tuple[str, str],
    multiples: list[list[int]],
    scale: Fraction | None,
    shown: str,
) -> str:
    """The tensor of a sum with multiples of many bits, which are made small at the end."""
    for part in parts:
        if part in builder.wide and not builder.wide[part].exact:
            raise _scales(
                node, shown, "one of them is a sum of branches of different scales itself"
            )
    intervals = []
    for part, factors in zip(parts, multiples, strict=True):
        interval = builder.channel_intervals(part)
        ends = [
            sorted((lo * f, hi * f))
            for lo, hi, f in zip(interval.lo, interval.hi, factors, strict=True)
        ]
        intervals.append(Intervals(tuple(e[0] for e in ends), tuple(e[1] for e in ends)))
    total = intervals[0].plus(intervals[1])
    bits = IntType.holding(*total.bounds).bits
    most = max(abs(one) for side in multiples for one in side)
    bits = max(bits, most.bit_length() + 1)
    if bits > WIDE_BITS:
        raise _scales(node, shown, f"their exact sum takes {bits} bits")
    shape = builder.tensors[parts[0]].shape
    output = builder.accumulator(node, shape, total, "sum", scale, most=WIDE_BITS)
    exact = bits <= ACCUMULATOR_BITS and most <= _MOST_MULTIPLE
    first, second = (tuple(side) for side in multiples)
    builder.wide[output] = WideSum(node, parts, (first, second), exact, shown)
    if not exact:
        builder.sums.add(output)
    return output


def _scales(node: NodeProto, shown: str, why: str) -> UnsupportedLayerError:
    return refuse(
        node,
        f"its two inputs have different scales ({shown})",
        why=f"{why}; an integer adder needs both branches on one grid",
        do="put a quantizer (QuantIdentity) behind each sum of two branches, or the same quantizer "
        "on all branches",
    )


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


def _sum_of_maps(a: AffineTensor, b: AffineTensor, channels: int) -> AffineTensor:
    gains = zip(a.expanded(channels)[0], b.expanded(channels)[0], strict=True)
    total = tuple(g + h for g, h in gains)
    return replace(a, gain=shortened(total)).plus(b.offset)


def _shown(gains: Fractions) -> str:
    """A scale as a person reads it; the first two of several."""
    if single(gains) is not None:
        return f"{float(gains[0]):.6g}"
    return ", ".join(f"{float(g):.6g}" for g in gains[:2]) + ", …"
