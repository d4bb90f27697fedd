"""Which steps run as streams: those without which the arena would be larger.

A sequence of steps is cut into parts; one of several steps is a stream. The memory that a part
needs is what lives beside it, its results that are read later, its rings and the largest of its
scratch. The parts are chosen so that the largest of these is least, and of all such choices the one
with the fewest weights that streams unpack, once for each of their rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from qdeploy.codegen.c.buffers import (
    banded,
    buffers_of,
    highest,
    last_reads,
    lives_of,
)
from qdeploy.codegen.c.memory import live_bytes
from qdeploy.codegen.c.steps import Step
from qdeploy.codegen.c.streaming import Stream, calls_of, is_streamable, rounds_of, stream_of
from qdeploy.ir.integer_graph import Conv, IntegerGraph

# Steps of a stream.
MOST_STEPS = 16
_FAR = 1 << 62


@dataclass(frozen=True)
class _Part:
    bytes: int
    price: int


def least_streams(steps: Sequence[Step], graph: IntegerGraph) -> tuple[Stream, ...]:
    """The streams with the smallest peak, a row at a time; none where they do not lower it."""
    low = [banded(step, 1) for step in steps]
    parts = {
        (first, last): _part(low, graph, first, last)
        for first in range(len(low))
        for last in range(first, min(first + MOST_STEPS, len(low)))
        if last == first or all(is_streamable(step) for step in low[first : last + 1])
    }
    cuts = _cheapest(parts, len(low), _least_peak(parts, len(low)))
    streams = tuple(stream_of(low, a, b, 1, graph.output) for a, b in cuts if b > a)
    return streams if peak_of(low, graph, streams) < peak_of(low, graph, ()) else ()


def peak_of(steps: Sequence[Step], graph: IntegerGraph, streams: Sequence[Stream]) -> int:
    """The most that lives at one time; bands are as they are."""
    lives = lives_of(steps, buffers_of(steps, graph, streams)[1], streams)
    return max(live_bytes(lives, len(steps)), default=0)


def remade(
    steps: Sequence[Step], graph: IntegerGraph, streams: Sequence[Stream]
) -> tuple[Stream, ...]:
    """The same streams for steps whose maps are packed otherwise."""
    return tuple(stream_of(steps, one.first, one.last, one.band, graph.output) for one in streams)


def high_streams(
    steps: Sequence[Step], graph: IntegerGraph, streams: Sequence[Stream], size: int
) -> tuple[list[Step], tuple[Stream, ...]]:
    """Rounds and bands as high as an arena of `size` has room for, with the fewest weights to
    unpack."""
    found, chosen = list(steps), list(streams)
    for at, stream in enumerate(streams):
        best = _FAR
        for band in range(1, steps[stream.last].result.height + 1):
            wider = stream_of(steps, stream.first, stream.last, band, graph.output)
            tried = [*chosen[:at], wider, *chosen[at + 1 :]]
            bare = lives_of(
                [replace(step, scratch=0) for step in steps],
                buffers_of(steps, graph, tried)[1],
                tried,
            )
            room = size - live_bytes(bare, len(steps))[stream.first]
            high = list(found)
            for number, rows in _rows_of_a_round(steps, wider).items():
                high[number] = highest(banded(steps[number], 1), room, rows)
            if max(high[n].scratch for n in range(stream.first, stream.last + 1)) > room:
                break
            price = unpacked(high, wider)
            if price < best:
                best, found, chosen = price, high, tried
    return found, tuple(chosen)


def unpacked(steps: Sequence[Step], stream: Stream) -> int:
    """Weights that a stream unpacks in a frame."""
    return sum(_weights(steps[call.step]) for call in calls_of(steps, stream))


def unpacked_alone(step: Step) -> int:
    """Weights that a step unpacks in a frame where it is in no stream."""
    bands = 1 if step.staging is None else -(-step.result.height // step.staging.band)
    return _weights(step) * bands


def _weights(step: Step) -> int:
    return int(step.node.weights.size) if isinstance(step.node, Conv) else 0


def _rows_of_a_round(steps: Sequence[Step], stream: Stream) -> dict[int, int]:
    """The most rows that each step gives in a round but the first one."""
    rounds = rounds_of(steps, stream.first, stream.last, stream.band)
    found = {}
    for number in range(stream.first, stream.last + 1):
        made = [rows[number] for rows in rounds]
        more = [b - a for a, b in pairwise(made)]
        found[number] = max([1, *more[:-1]]) if len(more) > 1 else max([1, *more, *made[:1]])
    return found


def _part(steps: Sequence[Step], graph: IntegerGraph, first: int, last: int) -> _Part:
    """Bytes that live while some steps run as one part, and the weights that are unpacked again."""
    within = range(first, last + 1)
    scratch = max(steps[number].scratch for number in within)
    if first == last:
        step = steps[first]
        reads = last_reads(steps)
        over = step.sources[step.over]
        shared = (
            step.in_place
            and reads[over.name] == first
            and over.name != graph.input
            and step.result.name != graph.output
            and step.result.element.bits <= over.element.bits
        )
        held = 0 if shared else _held(step, graph)
        return _Part(_beside(steps, graph, first, last) + held + scratch, 0)
    stream = stream_of(steps, first, last, 1, graph.output)
    held = 0
    for number in within:
        result = steps[number].result
        rows = stream.rings.get(result.name)
        if rows is None:
            held += _held(steps[number], graph)
        else:
            held += -(-result.bytes // result.height * rows // 4) * 4
    price = unpacked(steps, stream)
    return _Part(_beside(steps, graph, first, last) + held + scratch, price)


def _held(step: Step, graph: IntegerGraph) -> int:
    return 0 if step.result.name == graph.output else -(-step.result.bytes // 4) * 4


def _beside(steps: Sequence[Step], graph: IntegerGraph, first: int, last: int) -> int:
    """Bytes of maps that were made before and are read by the steps or later."""
    reads = last_reads(steps)
    return sum(
        _held(step, graph) for step in steps[:first] if reads.get(step.result.name, -1) >= first
    )


def _least_peak(parts: dict[tuple[int, int], _Part], count: int) -> int:
    peaks = [0] + [_FAR] * count
    for (first, last), part in sorted(parts.items(), key=lambda one: one[0][1]):
        peaks[last + 1] = min(peaks[last + 1], max(peaks[first], part.bytes))
    return peaks[count]


def _cheapest(parts: dict[tuple[int, int], _Part], count: int, peak: int) -> list[tuple[int, int]]:
    """Cuts whose parts need no more than `peak`, with the fewest weights unpacked again."""
    prices: list[tuple[int, list[tuple[int, int]]]] = [(0, [])]
    prices += [(_FAR, []) for _ in range(count)]
    for cut, part in sorted(parts.items(), key=lambda one: one[0][1]):
        first, last = cut
        price, cuts = prices[first]
        if part.bytes <= peak and price + part.price < prices[last + 1][0]:
            prices[last + 1] = price + part.price, [*cuts, cut]
    return prices[count][1]
