"""Layers that mean something else at the border of a map: the kind of a place as a stream.

    value = factor[k]·g·n + offset[k]        k: which taps of the window lie inside the map

An average whose padding does not count divides by fewer elements there; where padding means 0 and
code 0 does not, the sums lack what the missing activations add. Both are exact with one number for
each kind of place, its rank k. Hardware makes it as it makes everything: codes that are always 1
pass the same window with positive weights whose sums tell the kinds apart, and thresholds count.

With L levels of the quantizer behind, thresholds T[k] of its codes at each kind of place, and M
more than the range of n, all kinds lie one after the other in one table:

    #{k', j : n + M·k >= T[k', j] + M·k'}  =  L·k + code,     code = that - L·k
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
from onnx import NodeProto

from qdeploy.ir.integer_graph import Add, Conv, IntArray, IntType, Tensor, Threshold
from qdeploy.ir.intervals import Intervals, convolution_intervals, taps_inside
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor
from qdeploy.lowering.integers.builder import NARROWER, Builder
from qdeploy.lowering.integers.steps import Placed
from qdeploy.lowering.integers.thresholds import code_bounds

Pair = tuple[int, int]
Taps = tuple[int, ...]
Kind = tuple[Taps, Taps]
Meaning = TypeVar("Meaning")

# Levels of the quantizer times kinds of places: of one table.
MOST_LEVELS = 1 << 12
# Weights are exact in float32, where FINN keeps them.
_MOST_WEIGHT = 1 << 23
# Slopes of the weights that tell kinds apart.
_MOST_SLOPE = 64


@dataclass(frozen=True)
class Window:
    """A window over a map: (vertical, horizontal), pads (top, left, bottom, right)."""

    kernel: Pair
    stride: Pair
    pads: tuple[int, int, int, int]
    dilation: Pair

    def taps(self, sizes: Sequence[int]) -> tuple[list[Taps], list[Taps]]:
        """For each row, and for each column, of the result: the taps that lie inside the map."""
        rows, columns = (
            taps_inside(
                sizes[axis],
                self.kernel[axis],
                self.stride[axis],
                (self.pads[axis], self.pads[axis + 2]),
                self.dilation[axis],
            )
            for axis in range(2)
        )
        return rows, columns

    def kinds(self, sizes: Sequence[int]) -> list[Kind]:
        """Every kind of place of the result."""
        rows, columns = self.taps(sizes)
        return list(product(dict.fromkeys(rows), dict.fromkeys(columns)))


def is_placed(value: AffineTensor) -> bool:
    """Whether a value depends on the kind of place."""
    return any(isinstance(step, Placed) for step in value.steps)


def add_ranks(
    builder: Builder, node: NodeProto, name: str, window: Window, meanings: Mapping[Kind, Meaning]
) -> tuple[str, list[Meaning]]:
    """Nodes that number the places of a window.

    Args:
        name: of the map that the window reads.
        meanings: of each kind of place; kinds of one meaning may have one number.

    Returns:
        The stream of ranks (1, height, width), and the meaning of each rank.

    Raises:
        UnsupportedLayerError: no small weights tell the kinds apart.
    """
    weights = _telling(window.kernel, meanings)
    if weights is None:
        raise refuse(
            node,
            f"a window of {window.kernel} has too many kinds of places at the border",
            do="use a smaller kernel, or no padding",
        )
    layer, source = module_path(node), builder.tensors[name]
    by_sum = {_sum(weights, kind): meaning for kind, meaning in meanings.items()}
    sums = sorted(by_sum)
    # Any channel does: whatever its codes are, they reach their lowest one.
    picked = np.zeros((1, source.shape[0], 1, 1), dtype=np.int64)
    picked[0, 0] = 1
    interval = Intervals((source.lo,), (source.hi,))
    first = _sums(builder, node, (1, *source.shape[1:]), interval, "picked")
    builder.nodes.append(Conv(builder.node_name(layer, "pick"), layer, (name,), first, picked))
    one = _counted(builder, node, first, [source.lo], "one")
    shape = (1, *(len(taps) for taps in window.taps(source.shape[1:])))
    kernel = weights[None, None]
    interval = convolution_intervals(
        kernel, 1, 1, source.shape[1:], window.stride, window.pads, window.dilation
    )
    total = _sums(builder, node, shape, interval, "places")
    builder.nodes.append(
        Conv(
            builder.node_name(layer, "places"),
            layer,
            (one,),
            total,
            kernel,
            window.stride,
            window.pads,
            window.dilation,
        )
    )
    return _counted(builder, node, total, sums[1:], "place"), [by_sum[each] for each in sums]


def coded_by_place(
    builder: Builder, node: NodeProto, name: str, ranks: str, tables: Sequence[IntArray]
) -> str:
    """The levels that a sum reaches, by the thresholds of its own kind of place.

    Args:
        name: of the sums n.
        ranks: of the kinds of places.
        tables: thresholds (channels, levels) on n for each rank.

    Returns:
        A tensor of which n's code is the value: what it holds is in [0, levels].

    Raises:
        UnsupportedLayerError: there are too many levels, or sums of too many bits.
    """
    channels, levels = tables[0].shape
    if levels * len(tables) > MOST_LEVELS:
        raise refuse(
            node,
            f"{levels:,} codes at each of {len(tables)} kinds of places: what the sums before it "
            "mean is another thing at the border of the map",
            why=f"there are at most {MOST_LEVELS:,} thresholds in one table",
            do="use a quantizer of fewer bits, no padding, or for an average "
            "count_include_pad=True without ceil_mode",
        )
    before = builder.channel_intervals(name)
    lo, hi = before.bounds
    apart = hi - lo + 1
    moved = _times_rank(builder, node, ranks, channels, apart, "apart")
    spread = _added(builder, node, name, moved, "spread")
    table = np.concatenate([part + apart * rank for rank, part in enumerate(tables)], axis=1)
    together = _counted(builder, node, spread, table, "levels")
    back = _times_rank(builder, node, ranks, channels, -levels, "back")
    return _added(builder, node, together, back, "level")


def _telling(kernel: Pair, meanings: Mapping[Kind, Meaning]) -> IntArray | None:
    """Positive weights of a window whose sums over the taps inside differ where meanings do."""
    rows, columns = (np.arange(size, dtype=np.int64) for size in kernel)
    for a, b in _slopes():
        weights = np.asarray(1 + a * rows[:, None] + b * columns[None, :], dtype=np.int64)
        found: dict[int, Meaning] = {}
        if all(
            found.setdefault(_sum(weights, kind), meaning) == meaning
            for kind, meaning in meanings.items()
        ):
            return weights
    return None


def _slopes() -> Iterator[Pair]:
    """Pairs of slopes, small ones first."""
    for most in range(_MOST_SLOPE):
        yield from ((a, b) for a, b in product(range(most + 1), repeat=2) if max(a, b) == most)


def _sum(weights: IntArray, kind: Kind) -> int:
    return int(weights[np.ix_(*(np.array(taps, dtype=np.int64) for taps in kind))].sum())


def _times_rank(
    builder: Builder, node: NodeProto, ranks: str, channels: int, factor: int, kind: str
) -> str:
    """The rank times an integer, in every channel."""
    if abs(factor) >= _MOST_WEIGHT:
        raise refuse(
            node,
            f"sums that span {abs(factor):,} at each kind of place",
            why="what the sums before it mean is another thing at the border of the map",
            do=NARROWER,
        )
    source, layer = builder.tensors[ranks], module_path(node)
    ends = sorted((source.lo * factor, source.hi * factor))
    interval = Intervals((ends[0],) * channels, (ends[1],) * channels)
    output = _sums(builder, node, (channels, *source.shape[1:]), interval, kind)
    weights = np.full((channels, 1, 1, 1), factor, dtype=np.int64)
    builder.nodes.append(Conv(builder.node_name(layer, kind), layer, (ranks,), output, weights))
    return output


def _added(builder: Builder, node: NodeProto, a: str, b: str, kind: str) -> str:
    layer, interval = module_path(node), builder.channel_intervals(a)
    interval = interval.plus(builder.channel_intervals(b))
    output = _sums(builder, node, builder.tensors[a].shape, interval, kind)
    builder.nodes.append(Add(builder.node_name(layer, kind), layer, (a, b), output))
    return output


def _sums(
    builder: Builder, node: NodeProto, shape: tuple[int, ...], interval: Intervals, kind: str
) -> str:
    """A tensor of sums that is none of the file."""
    output = builder.accumulator(node, shape, interval, kind, do=NARROWER)
    del builder.sources[output]
    return output


def _counted(
    builder: Builder, node: NodeProto, name: str, thresholds: IntArray | list[int], kind: str
) -> str:
    """How many thresholds a sum reaches; one row for all channels, or one for each."""
    source, layer = builder.tensors[name], module_path(node)
    table = np.atleast_2d(np.asarray(thresholds, dtype=np.int64))
    lo, hi = code_bounds(table, 0, builder.channel_intervals(name))
    dtype = IntType.holding(0, table.shape[1])
    tensor = Tensor(f"{layer}.{kind}", source.shape, dtype, lo, hi)
    output = builder.add_tensor(tensor, None)
    unit = builder.node_name(layer, kind)
    builder.nodes.append(Threshold(unit, layer, (name,), output, table))
    return output
