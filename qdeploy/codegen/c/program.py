"""The steps of a network with a place in memory for everything they touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qdeploy.codegen.c.buffers import (
    banded,
    buffers_of,
    highest,
    last_reads,
    lives_of,
    scratch_name,
    stream_at,
)
from qdeploy.codegen.c.choices import BALANCED, OPTIMIZE, Choices
from qdeploy.codegen.c.depth_first import high_streams, least_streams, peak_of, remade
from qdeploy.codegen.c.elements import Element, Stored, sizes_of
from qdeploy.codegen.c.fusing import fused_adds
from qdeploy.codegen.c.memory import Lifetime, MemoryPlan, live_bytes, plan_memory
from qdeploy.codegen.c.packed_maps import all_packed, packed_maps
from qdeploy.codegen.c.steps import Step, steps_of
from qdeploy.codegen.c.straight import with_straight_code
from qdeploy.codegen.c.streaming import Stream, calls_of
from qdeploy.codegen.c.ways import chosen
from qdeploy.ir.integer_graph import Add, IntegerGraph


@dataclass(frozen=True)
class Program:
    """A network as C runs it.

    Args:
        graph: the integer graph.
        steps: in execution order.
        source: the input in memory.
        storage: tensor -> the buffer it is in; `INPUT`, `LOGITS`, or one of the memory plan.
        memory: offsets of buffers and of scratch.
        choices: how it was made.
        streams: steps that run row by row, depth first.
    """

    graph: IntegerGraph
    steps: tuple[Step, ...]
    source: Stored
    storage: Mapping[str, str]
    memory: MemoryPlan
    choices: Choices = OPTIMIZE[BALANCED]
    streams: tuple[Stream, ...] = ()

    @property
    def written(self) -> list[Stored]:
        """What the steps write: all that a debug build shows."""
        held = [[] if step.fused is None else step.fused.held for step in self.steps]
        return [
            one
            for step, before in zip(self.steps, held, strict=True)
            for one in (*before, step.result)
        ]

    @property
    def pieces(self) -> list[tuple[Stored, int]]:
        """What is written, in order, and how many bytes of it at a time."""
        found = []
        for number, step in enumerate(self.steps):
            stream = self.stream_at(number)
            if stream is not None:
                found += self._streamed(stream) if number == stream.first else []
                continue
            if step.fused is not None and step.staging is not None:
                height, band = step.fused.middle.height, step.staging.band
                for first in range(0, height, band):
                    rows = min(band, height - first)
                    found += [_piece(one, rows) for one in step.fused.held]
            found.append((step.result, step.result.bytes))
        return found

    def _streamed(self, stream: Stream) -> list[tuple[Stored, int]]:
        """Of a stream what comes row by row, and at its end the maps that are held as a whole."""
        found = []
        for call in calls_of(self.steps, stream):
            step = self.steps[call.step]
            held = [] if step.fused is None else step.fused.held
            ring = [step.result] if step.result.name in stream.rings else []
            found += [_piece(one, call.rows) for one in (*held, *ring)]
        results = [step.result for step in self.steps[stream.first : stream.last + 1]]
        return found + [(one, one.bytes) for one in results if one.name not in stream.rings]

    def stream_at(self, number: int) -> Stream | None:
        """The stream that a step is in."""
        return stream_at(number, self.streams)

    def scratch_at(self, number: int) -> int:
        """Where a step's scratch lies in the arena."""
        stream = self.stream_at(number)
        return self.memory.offsets[scratch_name(number if stream is None else stream.first)]

    @property
    def result(self) -> Stored:
        """The output in memory."""
        return next(one.result for one in self.steps if one.result.name == self.graph.output)


def program_of(graph: IntegerGraph, choices: Choices = OPTIMIZE[BALANCED]) -> Program:
    """Steps and memory of a network.

    Raises:
        UnsupportedLayerError: as `steps_of`.
    """
    found = steps_of(graph, choices, chosen)
    if choices.fused:
        found = fused_adds(found)
    if choices.straight:
        found = with_straight_code(found, choices.straight)
    steps = [_commuted(step, number, found) for number, step in enumerate(found)]
    streams: tuple[Stream, ...] = ()
    if choices.packed:
        steps, streams = _packed(steps, graph, choices)
    steps, streams, memory = _with_scratch(steps, graph, streams, choices.least_band)
    storage, _ = buffers_of(steps, graph, streams)
    tensor = graph.tensors[graph.input]
    element = Element.holding(tensor.lo, tensor.hi)
    assert element is not None, "`steps_of` refuses others"
    given = Stored(graph.input, element, *sizes_of(tensor))
    return Program(graph, tuple(steps), given, storage, memory, choices, streams)


def _packed(
    steps: list[Step], graph: IntegerGraph, choices: Choices
) -> tuple[list[Step], tuple[Stream, ...]]:
    """Steps with packed maps, and streams where the peak is smaller for them."""

    def packed(streams: tuple[Stream, ...], rows: bool) -> tuple[list[Step], tuple[Stream, ...]]:
        def peak(tried: list[Step]) -> int:
            return _peak(tried, graph, streams, choices)

        found = packed_maps(steps, graph, peak, rows=rows)
        return found, remade(found, graph, streams)

    tried = [packed((), False)]
    for rows in (False, True) if choices.streamed else ():
        streams = least_streams(all_packed(steps, graph, rows=rows), graph)
        if streams:
            tried.append(packed(streams, rows))
    return min(tried, key=lambda one: _peak(one[0], graph, one[1], choices))


def _peak(
    steps: list[Step], graph: IntegerGraph, streams: tuple[Stream, ...], choices: Choices
) -> int:
    least = [banded(step, choices.least_band) for step in steps]
    return peak_of(least, graph, remade(steps, graph, streams))


def _with_scratch(
    steps: list[Step], graph: IntegerGraph, streams: tuple[Stream, ...], least_band: int
) -> tuple[list[Step], tuple[Stream, ...], MemoryPlan]:
    """Bands as high as the arena has room for that it needs anyway, and the plan with them."""
    least = [banded(step, least_band) for step in steps]

    def lives(found: list[Step], streams: tuple[Stream, ...]) -> list[Lifetime]:
        return lives_of(found, buffers_of(found, graph, streams)[1], streams)

    size = plan_memory(lives(least, streams), len(steps)).bound
    high, streams = high_streams(least, graph, streams, size)
    bare = [replace(step, scratch=0) for step in steps]
    live = live_bytes(lives(bare, streams), len(steps))
    high = [
        highest(step, size - live[number]) if stream_at(number, streams) is None else step
        for number, step in enumerate(high)
    ]
    return high, streams, plan_memory(lives(high, streams), len(steps))


def _piece(tensor: Stored, rows: int) -> tuple[Stored, int]:
    return tensor, tensor.bytes // tensor.height * rows


def _commuted(step: Step, number: int, steps: list[Step]) -> Step:
    """An Add reads first the tensor that nothing reads later, so that it can write over it."""
    if not isinstance(step.node, Add):
        return step
    last = last_reads(steps)
    one, other = step.sources
    if last[one.name] == number or last[other.name] != number:
        return step
    return Step(step.node, (other, one), step.result, step.finish, in_place=True)
