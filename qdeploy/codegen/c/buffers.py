"""The buffers of steps, from when to when they live, and the scratch that steps need besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qdeploy.codegen.c.elements import Stored
from qdeploy.codegen.c.memory import Lifetime
from qdeploy.codegen.c.steps import Step
from qdeploy.codegen.c.streaming import Stream
from qdeploy.ir.integer_graph import IntegerGraph

# What the caller holds; all other buffers are `buffer of …` or `scratch of …`.
INPUT, LOGITS = "input", "logits"


def scratch_name(step: int) -> str:
    """The buffer of a step's scratch memory, or of all of a stream's by its first step."""
    return f"scratch of step {step}"


def stream_at(number: int, streams: Sequence[Stream]) -> Stream | None:
    """The stream that a step is in."""
    return next((one for one in streams if one.first <= number <= one.last), None)


def buffers_of(
    steps: Sequence[Step], graph: IntegerGraph, streams: Sequence[Stream] = ()
) -> tuple[dict[str, str], list[Lifetime]]:
    """Tensor -> its buffer, and the buffers' lifetimes; steps write over what is read last, where
    they are in no stream."""
    storage = {graph.input: INPUT, graph.output: LOGITS}
    first: dict[str, int] = {}
    last = last_reads(steps)
    ends: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for number, step in enumerate(steps):
        name, stream = step.result.name, stream_at(number, streams)
        if name not in storage:
            over = None if stream else _given_over(step, number, storage, ends)
            storage[name] = over or f"buffer of {name}"
        buffer = storage[name]
        if buffer not in (INPUT, LOGITS):
            first.setdefault(buffer, number)
            ends[buffer] = max(ends.get(buffer, 0), last.get(name, number))
            size = step.result.bytes
            if stream is not None and name in stream.rings:
                size = size // step.result.height * stream.rings[name]
            sizes[buffer] = max(sizes.get(buffer, 0), size)
    return storage, [Lifetime(name, sizes[name], first[name], ends[name]) for name in sizes]


def lives_of(
    steps: Sequence[Step], buffers: Sequence[Lifetime], streams: Sequence[Stream] = ()
) -> list[Lifetime]:
    """All buffers, with those of scratch. What a stream touches lives while it runs."""
    scratch: dict[int, Lifetime] = {}
    for number, step in enumerate(steps):
        stream = stream_at(number, streams)
        first, last = (number, number) if stream is None else (stream.first, stream.last)
        size = max(step.scratch, scratch[first].bytes if first in scratch else 0)
        if size:
            scratch[first] = Lifetime(scratch_name(first), size, first, last)
    return [*(_while_running(one, streams) for one in buffers), *scratch.values()]


def _while_running(buffer: Lifetime, streams: Sequence[Stream]) -> Lifetime:
    begins, ends = stream_at(buffer.first, streams), stream_at(buffer.last, streams)
    first = buffer.first if begins is None else begins.first
    return replace(buffer, first=first, last=buffer.last if ends is None else ends.last)


def banded(step: Step, band: int) -> Step:
    """A step whose staging lays out so many rows of its result at a time."""
    if step.staging is None:
        return step
    staging = step.staging.of_band(min(band, step.result.height))
    return replace(
        step, staging=staging, scratch=staging.scratch + middle_bytes(step, staging.band)
    )


def middle_bytes(step: Step, band: int) -> int:
    """Bytes of so many rows of what is held of an addition that is fused into a convolution; they
    are the last ones of the step's scratch."""
    held = [] if step.fused is None else step.fused.held
    return sum(held_bytes(one, band) for one in held)


def held_bytes(tensor: Stored, band: int) -> int:
    """Bytes of so many rows, in whole words."""
    return -(-band * tensor.bytes // tensor.height // 4) * 4


def highest(step: Step, room: int, most: int | None = None) -> Step:
    """Rows in as few bands of one height as there is room for, of `most` rows at most."""
    if step.staging is None:
        return step
    height = step.result.height if most is None else most
    for bands in range(1, height):
        found = banded(step, -(-height // bands))
        if found.scratch <= room:
            return found
    return step


def last_reads(steps: Sequence[Step]) -> Mapping[str, int]:
    """Tensor -> the last step that reads it."""
    return {one.name: number for number, step in enumerate(steps) for one in step.sources}


def _given_over(
    step: Step, number: int, storage: Mapping[str, str], ends: Mapping[str, int]
) -> str | None:
    """The buffer of a source that the step writes over."""
    source = step.sources[step.over]
    buffer = storage[source.name]
    others = [storage[one.name] for k, one in enumerate(step.sources) if k != step.over]
    if not step.in_place or buffer in (INPUT, LOGITS) or ends[buffer] != number:
        return None
    if step.result.element.bits > source.element.bits:
        return None
    return None if step.fused is not None and buffer in others else buffer
