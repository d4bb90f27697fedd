"""Sums of branches whose scales have no small common grid: small multiples that give every code.

    v = g·a + h·b (+ offset)       n = p·a + q·b exactly, g : h = p : q, p and q of many bits

Float32 scales are dyadic rationals, so p and q exist, and the thresholds T of the quantizers behind
the sum are exact on n. An adder of so many bits is not built: a quantizer only asks on which side
of T a pair (a, b) lies, and there are few pairs. So integers k, l and thresholds t are looked for
with

    p·a + q·b >= T   <=>   k·a + l·b >= t         for every pair of codes and every threshold

along the best approximations k/l of p/q (the path in the tree of Stern and Brocot), each checked
for all pairs. One is always found: where no fraction of differences of codes lies between p/q and
k/l, all pairs come in the same order. For codes of 8 bits k and l then have 9 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from onnx import NodeProto

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Add, Conv, Dense, IntArray, IntType, Node, Threshold
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.canonical.arrangements import ELEMENTWISE
from qdeploy.lowering.canonical.module_names import module_path, unique
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.builder import ACCUMULATOR_BITS, NARROWER, Builder

# Of the sum before it is made narrow: 64-bit integers hold it.
WIDE_BITS = 62
# Multiples up to this stay as they are.
SMALL = 1 << 8
# Places along the path of approximations that are looked at, and the largest multiples.
_MOST_STEPS, _MOST_MULTIPLE = 1 << 13, 1 << 22
# Thresholds times codes of one branch that are looked at together.
_MOST_PLACES = 1 << 24


@dataclass(frozen=True)
class _Line:
    """Thresholds on p·a + q·b with p, q > 0 for a and b from (lo, hi), both included."""

    p: int
    q: int
    a: tuple[int, int]
    b: tuple[int, int]
    thresholds: IntArray

    def first(self) -> IntArray:
        """For each threshold and each a, the smallest b that reaches it."""
        a = np.arange(self.a[0], self.a[1] + 1, dtype=np.int64)
        return -((self.p * a - self.thresholds[:, None]) // self.q)

    def moved(self, k: int, m: int, first: IntArray) -> IntArray | None:
        """The thresholds on k·a + m·b that say the same of every pair; None where there are none.

        Args:
            first: of this line.
        """
        a = k * np.arange(self.a[0], self.a[1] + 1, dtype=np.int64)
        far = np.iinfo(np.int64).max >> 1
        reaches, misses = first <= self.b[1], first > self.b[0]
        above = np.where(reaches, a + m * np.maximum(first, self.b[0]), far).min(axis=1)
        below = np.where(misses, a + m * np.minimum(first - 1, self.b[1]), -far).max(axis=1)
        return above if (below < above).all() else None


def narrow_sums(builder: Builder, result: str) -> None:
    """Make the sums of branches that `builder.wide` lists, with multiples as small as can be.

    Args:
        result: the tensor whose values the file gives out.

    Raises:
        UnsupportedLayerError: what reads a sum needs its value, and that takes too many bits.
    """
    for name, wide in builder.wide.items():
        readers = [node for node in builder.nodes if name in node.inputs]
        found = None
        if name != result and all(isinstance(node, Threshold) for node in readers):
            found = _narrow(builder, name, [n for n in readers if isinstance(n, Threshold)])
        if found is None:
            if not wide.exact:
                raise _too_wide(wide.node, wide.shown)
            found = wide.multiples
        _make(builder, name, found)


def check_reader(builder: Builder, node: NodeProto, tensor: str) -> None:
    """Refuse a node that needs the value of a sum which no accumulator holds.

    Raises:
        UnsupportedLayerError: names the sum.
    """
    wide = builder.wide.get(tensor)
    if wide is not None and not wide.exact and node.op_type not in (*ELEMENTWISE, "MaxPool"):
        raise _too_wide(wide.node, wide.shown)


def approximations(p: int, q: int) -> Iterator[tuple[int, int]]:
    """Fractions k/m on the way to p/q > 0, each nearer than all with smaller numbers before it."""
    low, high = (0, 1), (1, 0)
    for _ in range(_MOST_STEPS):
        k, m = low[0] + high[0], low[1] + high[1]
        yield k, m
        if k * q == p * m or max(k, m) > _MOST_MULTIPLE:
            return
        if k * q < p * m:
            low = k, m
        else:
            high = k, m


def _narrow(
    builder: Builder, name: str, readers: Sequence[Threshold]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Smaller multiples, the readers' thresholds moved to them; None where there are none."""
    wide = builder.wide[name]
    sides = [builder.channel_intervals(part) for part in wide.parts]
    before = builder.channel_intervals(name)
    groups: dict[tuple[int, ...], list[int]] = {}
    for channel, (p, q) in enumerate(zip(*wide.multiples, strict=True)):
        reach = (end[channel] for side in sides for end in (side.lo, side.hi))
        groups.setdefault((p, q, *reach), []).append(channel)
    tables = [node.thresholds.copy() for node in readers]
    multiples: tuple[list[int], list[int]] = ([0] * len(before.lo), [0] * len(before.lo))
    for (p, q, *ends), channels in groups.items():
        rows = np.concatenate([table[channels].reshape(-1) for table in tables])
        lo, hi = before.lo[channels[0]], before.hi[channels[0]]
        inner = np.unique(rows[(rows > lo) & (rows <= hi)])
        found = smallest_multiples(p, q, (ends[0], ends[1]), (ends[2], ends[3]), inner)
        if found is None:
            return None
        k, m, moved = found
        for channel in channels:
            multiples[0][channel], multiples[1][channel] = k, m
        pairs = [sorted((n * end[0], n * end[1])) for n, end in ((k, ends[:2]), (m, ends[2:]))]
        low, high = (pairs[0][side] + pairs[1][side] for side in range(2))
        for table in tables:
            part = table[channels]
            places = np.searchsorted(inner, part).clip(0, max(len(inner) - 1, 0))
            new = moved[places] if len(inner) else np.zeros_like(part)
            table[channels] = np.where(part <= lo, low, np.where(part > hi, high + 1, new))
    for node, table in zip(readers, tables, strict=True):
        builder.nodes[builder.nodes.index(node)] = replace(node, thresholds=table)
        builder.affine[node.output] = replace(builder.affine[node.output], narrowed=True)
    builder.sources.pop(name, None)
    return tuple(multiples[0]), tuple(multiples[1])


def smallest_multiples(
    p: int, q: int, a: tuple[int, int], b: tuple[int, int], thresholds: IntArray
) -> tuple[int, int, IntArray] | None:
    """The first multiples on the way to p/q that tell all pairs apart as p·a + q·b does.

    Args:
        a, b: lowest and highest code of each branch.
        thresholds: on p·a + q·b, ascending.

    Returns:
        Two integers and the thresholds on their sum; None where there are too many to look at.
    """
    if p == 0 or q == 0:
        return p, q, thresholds
    signs = 1 if p > 0 else -1, 1 if q > 0 else -1
    swapped = a[1] - a[0] > b[1] - b[0]
    sides = [
        (abs(n), (end if sign > 0 else (-end[1], -end[0])))
        for n, sign, end in ((p, signs[0], a), (q, signs[1], b))
    ]
    (one, first_ends), (other, second_ends) = sides[::-1] if swapped else sides
    if len(thresholds) * (first_ends[1] - first_ends[0] + 1) > _MOST_PLACES:
        return None
    line = _Line(one, other, first_ends, second_ends, thresholds)
    few = replace(line, thresholds=thresholds[:: max(1, len(thresholds) // 8)])
    first, sample = line.first(), few.first()
    for k, m in approximations(one, other):
        if few.moved(k, m, sample) is None:
            continue
        moved = line.moved(k, m, first)
        if moved is not None:
            k, m = (m, k) if swapped else (k, m)
            return signs[0] * k, signs[1] * m, moved
    return None


def _make(builder: Builder, name: str, multiples: Sequence[Sequence[int]]) -> None:
    """Nodes that multiply the branches, before the sum; the sum's bounds."""
    wide = builder.wide[name]
    place = next(k for k, node in enumerate(builder.nodes) if node.output == name)
    made: list[Node] = []
    parts = [
        multiplied(builder, wide.node, part, factors, made)
        for part, factors in zip(wide.parts, multiples, strict=True)
    ]
    interval = builder.channel_intervals(parts[0]).plus(builder.channel_intervals(parts[1]))
    lo, hi = interval.bounds
    dtype = IntType.holding(lo, hi)
    if dtype.bits > ACCUMULATOR_BITS:
        raise _too_wide(wide.node, wide.shown)
    exact = [list(side) for side in multiples] == [list(side) for side in wide.multiples]
    tensor = builder.tensors[name]
    scale = tensor.scale if exact else None
    builder.tensors[name] = replace(tensor, lo=lo, hi=hi, dtype=dtype, scale=scale)
    builder.intervals[name] = interval
    add = builder.nodes[place]
    assert isinstance(add, Add)
    builder.nodes[place : place + 1] = [*made, replace(add, inputs=(parts[0], parts[1]))]


def multiplied(
    builder: Builder, node: NodeProto, name: str, factors: Sequence[int], made: list[Node]
) -> str:
    """A tensor with each channel times its own integer; the node that makes it is put in `made`."""
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
    taken = {item.name for item in (*builder.nodes, *made)}
    unit = unique(f"{layer}.multiple", taken)
    if len(source.shape) == 1:
        made.append(Dense(unit, layer, (name,), output, np.diag(weights)))
        return output
    kernel = weights.reshape(-1, 1, 1, 1)
    made.append(Conv(unit, layer, (name,), output, kernel, groups=len(kernel)))
    return output


def _too_wide(node: NodeProto, shown: str) -> UnsupportedLayerError:
    return refuse(
        node,
        f"its two inputs have different scales ({shown})",
        why="their exact sum takes more bits than an accumulator has; it is taken where only "
        "quantizers read it, which ask for less",
        do="put the same quantizer (one QuantIdentity) on both branches, or a quantizer behind the "
        "sum",
    )
