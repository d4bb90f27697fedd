"""Quantizers of activations in the lowering: where integers under a map become codes.

A quantizer reads a weighted sum, a sum of codes, or codes (a second quantizer on a shortcut), each
under a map that falls or rises in every channel. Where it falls, thresholds would have to count
down. A weighted sum that nothing else reads changes sign in its weights; anything else goes through
a convolution of kernel 1, or a matrix, with the weights -1 and +1.

A max-pool before the quantizer comes after it instead: q(max v) = max q(v), since q never falls.
Where the map between the two falls, min q(v) = -max(-q(v)): these channels' codes are made with the
sign changed (mirrored), and their gain is negative.

    codes -1 and +1 (BipolarQuant)    value = 2·s·c - s with c = 0, 1, where no reader pads
                                      value = s·m with m = -1, +1 where one does: its 0 is exact
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from onnx import NodeProto

from qdeploy.ir.integer_graph import (
    Conv,
    Dense,
    IntArray,
    IntType,
    MaxPool,
    Tensor,
    Threshold,
)
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.canonical.module_names import call_number, module_path, numbered
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, Fractions, expand, single
from qdeploy.lowering.integers.builder import Builder, ThresholdSource
from qdeploy.lowering.integers.places import coded_by_place, is_placed
from qdeploy.lowering.integers.quant_nodes import QuantParameters
from qdeploy.lowering.integers.quantizer import Quantizer, Rounding
from qdeploy.lowering.integers.steps import Placed, Pooled, at_each_place, direction
from qdeploy.lowering.integers.thresholds import code_bounds, threshold_table


def lower_quantizer(
    builder: Builder, node: NodeProto, value: AffineTensor, found: QuantParameters, *, padded: bool
) -> AffineTensor:
    """Codes of a quantizer node.

    Args:
        value: what goes into it, signs of channels as they are now.
        padded: whether a reader of the codes pads them with zeros.
    """
    quantizers = tuple(found.quantizers())
    if all(one == quantizers[0] for one in quantizers):
        quantizers = quantizers[:1]
    signs = tuple(Fraction(-1 if s < 0 else 1) for s in found.scale.reshape(-1))
    if any(sign < 0 for sign in signs) and node.op_type != "BipolarQuant":
        value = value.times(signs if single(signs) is None else signs[:1])
    scales = tuple(one.scale for one in quantizers)
    count = max(len(scales), len(signs) if single(signs) is None else 1)
    gain = tuple(
        s * g for s, g in zip(expand(scales, count), expand(signs, count)[:count], strict=True)
    )
    if found.rounding is not Rounding.SIGN:
        dtype = found.dtype if not found.zero.any() else None
        return lower_threshold(builder, node, value, quantizers, dtype, gain)
    if padded:
        return lower_threshold(builder, node, value, quantizers, found.dtype, gain)
    quantizers = tuple(replace(one, lo=0) for one in quantizers)
    double, offset = tuple(2 * g for g in gain), tuple(-g for g in gain)
    return lower_threshold(builder, node, value, quantizers, None, double, offset)


def lower_threshold(
    builder: Builder,
    node: NodeProto,
    value: AffineTensor,
    quantizers: Sequence[Quantizer],
    dtype: IntType | None,
    gain: Fractions,
    offset: Fractions = (Fraction(0),),
) -> AffineTensor:
    """Codes of quantizers after a map of an integer tensor.

    A quantizer that changes no code, or repeats an earlier one, makes no node.

    Args:
        quantizers: one, or one for each channel.
        dtype: of the codes; None, and where channels are mirrored: the narrowest.
        gain, offset: what the codes will mean.
    """
    source = builder.tensors[value.tensor]
    count = source.shape[0]
    if _changes_nothing(builder, value, quantizers, source):
        return replace(value, offset=value.offset[:1])
    pools = tuple(step for step in value.steps if isinstance(step, Pooled))
    mirrored = _mirrored(node, value, count)
    gains, offsets = value.expanded(count)
    falling = frozenset(c for c, g in enumerate(gains) if g * direction(value.steps, c) < 0)
    tensor = value.tensor
    if falling ^ mirrored:
        tensor = _negated(builder, node, tensor, falling ^ mirrored)
        gains = tuple(-g if c in falling ^ mirrored else g for c, g in enumerate(gains))
    steps = tuple(step for step in value.steps if not isinstance(step, Pooled))
    made = ThresholdSource(gains, offsets, tuple(quantizers), node.output[0], steps, mirrored)
    interval = builder.channel_intervals(tensor)
    if is_placed(value):
        tensor, table, base = _at_places(builder, node, tensor, made)
        interval = builder.channel_intervals(tensor)
    else:
        table, base = _table(made, interval)
    if steps and dtype is not None and not is_placed(value):
        # What is below the steps' lowest value is no code: a ReLU leaves none below 0. One level
        # stays where no code is left but 0.
        spare = min(code_bounds(table, base, interval)[0] - base, -base, table.shape[1] - 1)
        table, base = table[:, spare:], base + spare
    if quantizers[0].rounding is Rounding.SIGN:
        _note_constants(builder, node, table, interval)
    if dtype is None or mirrored:
        dtype = IntType.holding(base, base + table.shape[1])
    gain = expand(gain, count if mirrored else len(gain))
    gain = tuple(-g if c in mirrored else g for c, g in enumerate(gain))
    earlier = _made_before(builder, tensor, table, base, dtype, made)
    if earlier is not None and not pools:
        return AffineTensor(earlier, gain, offset)
    layer, call = module_path(node), call_number(node)
    scale = single(gain) if not any(offset) else None
    output = builder.add_tensor(
        Tensor(
            numbered(f"{layer}.code", call),
            source.shape,
            dtype,
            *code_bounds(table, base, interval),
            scale,
        ),
        None if pools else node.output[0],
    )
    builder.affine[output] = made
    name = builder.node_name(layer, numbered("threshold", call))
    builder.nodes.append(Threshold(name, layer, (tensor,), output, table, base))
    for number, pool in enumerate(pools, 1):
        output = add_max_pool(
            builder, pool, output, node.output[0] if number == len(pools) else None
        )
    return AffineTensor(output, gain, offset)


def add_max_pool(builder: Builder, pool: Pooled, name: str, source: str | None) -> str:
    """A MaxPool of codes; returns its result, which has the values of `source` in the file."""
    codes = builder.tensors[name]
    channels, height, width = codes.shape
    shape = (
        channels,
        (height + pool.pads[0] + pool.pads[2] - pool.kernel[0]) // pool.stride[0] + 1,
        (width + pool.pads[1] + pool.pads[3] - pool.kernel[1]) // pool.stride[1] + 1,
    )
    tensor = replace(codes, name=f"{pool.layer}.code", shape=shape)
    output = builder.add_tensor(tensor, source)
    node = builder.node_name(pool.layer, "pool")
    builder.nodes.append(
        MaxPool(node, pool.layer, (name,), output, pool.kernel, pool.stride, pool.pads)
    )
    return output


def _note_constants(
    builder: Builder, node: NodeProto, table: IntArray, interval: Intervals
) -> None:
    """Say of a sign what it is where it is always the same, as behind a ReLU."""
    ends = (np.array(end, dtype=np.int64)[:, None] for end in (interval.lo, interval.hi))
    lowest, highest = ((end >= table).all(axis=1) for end in ends)
    if lowest.all() or not highest.any():
        builder.notes.append(
            f"layer `{module_path(node)}`: its codes are always {'1' if lowest.all() else '-1'}, "
            "since the values that it takes the sign of never change theirs (as behind a ReLU: so "
            "exporters write a 1-bit ReLU); the network computes as if the layer were a constant"
        )


def _at_places(
    builder: Builder, node: NodeProto, name: str, made: ThresholdSource
) -> tuple[str, IntArray, int]:
    """The codes of a value that depends on the kind of place, as levels; then their table."""
    interval = builder.channel_intervals(name)
    found = [_table(replace(made, steps=steps), interval) for steps in at_each_place(made.steps)]
    base = found[0][1]
    lows, highs = zip(*(code_bounds(table, base, interval) for table, _ in found), strict=True)
    # As below a ReLU: codes that no place has are no levels. One level stays, and code 0.
    first = min(min(lows) - base, -base, found[0][0].shape[1] - 1)
    last = max(max(highs) - base, first + 1)
    ranks = next(step.ranks for step in made.steps if isinstance(step, Placed))
    tables = [table[:, first:last] for table, _ in found]
    levels = coded_by_place(builder, node, name, ranks, tables)
    table = np.tile(np.arange(1, last - first + 1), (len(made.gain), 1))
    return levels, table, base + first


def _table(made: ThresholdSource, interval: Intervals) -> tuple[IntArray, int]:
    """Thresholds and base, rows of mirrored channels for codes of the other sign."""
    count, mirrored = len(made.gain), made.mirrored
    risen = tuple(-g if c in mirrored else g for c, g in enumerate(made.gain))
    upward = interval.negated(mirrored)
    many = made.quantizers * (count if len(made.quantizers) == 1 else 1)
    table = threshold_table(risen, made.offset, many, upward, made.steps)
    if mirrored:
        table[list(mirrored)] = 1 - table[list(mirrored), ::-1]
    lows = [
        -(one.hi - one.zero) if c in mirrored else one.lo - one.zero for c, one in enumerate(many)
    ]
    # The codes of a channel that start higher have levels that always hold. So has a base above 0.
    base, levels = min(*lows, 0), table.shape[1]
    width = max(lows) - base + levels
    lo, hi = (np.array(end, dtype=np.int64)[:, None] for end in (interval.lo, interval.hi))
    wide = np.where(np.arange(width) < (np.array(lows) - base)[:, None], lo, hi + 1)
    for channel, low in enumerate(lows):
        wide[channel, low - base : low - base + levels] = table[channel]
    return wide, base


def _mirrored(node: NodeProto, value: AffineTensor, channels: int) -> frozenset[int]:
    """Channels whose map falls between a max-pool and the quantizer."""
    found: set[frozenset[int]] = set()
    for place, step in enumerate(value.steps):
        if isinstance(step, Pooled):
            after = value.steps[place + 1 :]
            found.add(frozenset(c for c in range(channels) if direction(after, c) < 0))
    if len(found) > 1:
        raise refuse(
            node,
            "a negative factor stands between two max-pools before the quantizer",
            why="one channel would need a maximum first, then a minimum",
            do="put a quantizer between the max-pools",
        )
    return found.pop() if found else frozenset()


def _negated(builder: Builder, node: NodeProto, name: str, channels: frozenset[int]) -> str:
    """A tensor with the sign of some channels changed."""
    if builder.can_negate(name):
        builder.negate_channels(name, channels)
        return name
    source = builder.tensors[name]
    layer, count = module_path(node), source.shape[0]
    sign = np.ones(count, dtype=np.int64)
    sign[list(channels)] = -1
    interval = builder.channel_intervals(name).negated(channels)
    output = builder.accumulator(node, source.shape, interval, "turned")
    del builder.sources[output]  # What it holds is nothing in the file.
    if len(source.shape) == 1:
        unit = builder.node_name(layer, "turn")
        builder.nodes.append(Dense(unit, layer, (name,), output, np.diag(sign)))
        return output
    weights = sign.reshape(count, 1, 1, 1)
    builder.nodes.append(
        Conv(builder.node_name(layer, "turn"), layer, (name,), output, weights, groups=count)
    )
    return output


def _made_before(
    builder: Builder,
    tensor: str,
    table: IntArray,
    base: int,
    dtype: IntType,
    made: ThresholdSource,
) -> str | None:
    """The codes of an earlier Threshold that is the same."""
    for node in builder.nodes:
        if (
            isinstance(node, Threshold)
            and node.inputs == (tensor,)
            and node.base == base
            and builder.affine[node.output].quantizers == made.quantizers
            and builder.affine[node.output].mirrored == made.mirrored
            and node.output in builder.sources
            and builder.tensors[node.output].dtype == dtype
            and np.array_equal(node.thresholds, table)
        ):
            return node.output
    return None


def _changes_nothing(
    builder: Builder, value: AffineTensor, quantizers: Sequence[Quantizer], source: Tensor
) -> bool:
    one = quantizers[0]
    return (
        len(quantizers) == 1
        and type(one) is Quantizer
        and one.rounding is not Rounding.SIGN
        and single(value.gain) == one.scale
        and not any(value.offset)
        and not value.steps
        and not builder.is_accumulator(value.tensor)
        and one.lo - one.zero <= source.lo
        and source.hi <= one.hi - one.zero
    )
