"""MultiThreshold and Trunc in the lowering: codes that begin at edges of their own.

    value = step · count + bias,  count = 0 … K        b = bias / step

    b whole, and 0 is one of the values     codes b … b + K: code 0 means 0
    else, where no reader pads              codes 0 … K, the bias in their map
    else b = p / q                          codes p, p + q … p + K·q of the step 1/q: 0 is exact

so -1 and +1, as 2·count - 1, are one bit, or the codes -1 and +1 where a reader pads them.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

from onnx import NodeProto

from qdeploy.ir.integer_graph import IntType
from qdeploy.lowering.canonical.passes import shape_of
from qdeploy.lowering.canonical.qonnx_functions import threshold_axis
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import (
    AffineTensor,
    Constant,
    Fractions,
    Value,
    expand,
    shortened,
)
from qdeploy.lowering.integers.context import Context
from qdeploy.lowering.integers.level_nodes import (
    MOST_LEVELS,
    Array,
    Truncation,
    read_levels,
    read_truncations,
)
from qdeploy.lowering.integers.quant_nodes import MAX_BITS
from qdeploy.lowering.integers.quantize import lower_threshold
from qdeploy.lowering.integers.quantizer import Edge, TableQuantizer
from qdeploy.lowering.integers.steps import at_each_place, value_of

_CONSTANTS = (
    "thresholds are computed once, before the hardware is built",
    "export the network in evaluation mode, with constants instead",
)


def lower_multi_threshold(context: Context, node: NodeProto) -> Value:
    """The number of thresholds that a value reaches, times a step, plus a bias."""
    value = context.activation(node)
    channels = context.builder.tensors[value.tensor].shape[0]
    axis = threshold_axis(node, len(shape_of(context.model, node.input[0])))
    if axis != 1:
        raise refuse(
            node,
            f"its channels are on axis {axis} of {shape_of(context.model, node.input[0])}",
            why="feature maps stream as (N, C, H, W)",
            do="use data_layout NCHW, or transposes around channels-last layers",
        )
    (table,) = _arrays(context, node)
    found = read_levels(node, table, channels)
    return _coded(context, node, value, found.edges(), (found.step,), found.bias / found.step)


def lower_trunc(context: Context, node: NodeProto) -> Value:
    """Integers without some of their lower bits."""
    value = context.activation(node)
    arrays = _arrays(context, node)
    for array in arrays:
        context.check_per_channel(node, array.shape, value)
    found = read_truncations(node, arrays)
    if all(one == found[0] for one in found):
        found = found[:1]
    lo, hi = _reached(context, node, value, found)
    if hi - lo > MOST_LEVELS:
        raise refuse(
            node,
            f"its codes go from {lo} to {hi}",
            why=f"codes have at most {MAX_BITS} bits",
            do="cut more bits off, or use fewer bits before it",
        )
    offsets = {one.offset for one in found}
    if len(offsets) > 1:
        raise refuse(
            node,
            "its channels have different zero points",
            do="use one zero point (Brevitas writes 0)",
        )
    rows = [one.edges(lo, hi) for one in found]
    return _coded(context, node, value, rows, tuple(one.step for one in found), lo - offsets.pop())


def _coded(
    context: Context,
    node: NodeProto,
    value: AffineTensor,
    rows: list[tuple[Edge, ...]],
    steps: Fractions,
    first: Fraction,
) -> AffineTensor:
    """Codes of value = step · (first + count); rows and steps are one, or one per channel."""
    unit, count = 1, len(rows[0])
    lowest, offset = first, Fraction(0)
    padded = context.is_padded(node)
    whole = first.denominator == 1
    if not (whole and (padded or first <= 0 <= first + count)):
        ends = (min(first, Fraction(0)), max(first + count, Fraction(0)))
        low, high = (int(end * first.denominator) for end in ends)
        if padded and IntType.holding(low, high).bits <= MAX_BITS:
            unit = first.denominator
            lowest = first * unit
        else:
            lowest, offset = Fraction(0), first
    steps = shortened(steps)
    gain = tuple(step / unit for step in steps)
    low = int(lowest)
    channels = max(len(rows), len(gain))
    many = zip(rows * (channels if len(rows) == 1 else 1), expand(gain, channels), strict=True)
    quantizers = [
        TableQuantizer(
            abs(g), low, low + unit * count, table=tuple(e for e in row for _ in range(unit))
        )
        for row, g in many
    ]
    if all(q == quantizers[0] for q in quantizers):
        quantizers = quantizers[:1]
    offsets = tuple(step * offset for step in steps)
    return lower_threshold(context.builder, node, value, quantizers, None, gain, offsets)


def _reached(
    context: Context, node: NodeProto, value: AffineTensor, found: list[Truncation]
) -> tuple[int, int]:
    """The lowest and the highest code that a truncation gives, and 0 where it is a code."""
    ends, zero = found[0].ends, found[0].offset
    codes = [] if zero.denominator > 1 else [int(zero)]
    interval = context.builder.channel_intervals(value.tensor)
    gains, offsets = value.expanded(len(interval.lo))
    many = found * (len(gains) if len(found) == 1 else 1)
    for channel, one in enumerate(many):
        ends_of_sums = (interval.lo[channel], interval.hi[channel])
        for steps, n in product(at_each_place(value.steps), ends_of_sums):
            exact = value_of(steps, channel, gains[channel] * n + offsets[channel])
            if exact is not None:
                codes.append(one.code(exact))
            elif ends is not None:
                codes += ends
            else:
                raise refuse(
                    node,
                    "a truncation of a curve's values",
                    do="put a Quant behind the curve instead",
                )
    if ends is not None:
        codes = [min(max(code, ends[0]), ends[1]) for code in codes]
    lo, hi = min(codes), max(codes)
    return (lo, hi) if lo < hi else (lo, lo + 1)


def _arrays(context: Context, node: NodeProto) -> list[Array]:
    """The node's parameters, which have to be constants."""
    values = [context.values.get(name) for name in node.input[1:] if name]
    found = [value.array for value in values if isinstance(value, Constant)]
    if len(found) < len(values) or not found:
        raise refuse(
            node, "its parameters are computed at run time", why=_CONSTANTS[0], do=_CONSTANTS[1]
        )
    return found
