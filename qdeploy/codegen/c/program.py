"""The steps of a network with a place in memory for everything they touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qdeploy.codegen.c.choices import BALANCED, OPTIMIZE, Choices
from qdeploy.codegen.c.elements import Element, Stored, sizes_of
from qdeploy.codegen.c.fusing import fused_adds
from qdeploy.codegen.c.memory import Lifetime, MemoryPlan, live_bytes, plan_memory
from qdeploy.codegen.c.packed_maps import packed_maps
from qdeploy.codegen.c.steps import Step, steps_of
from qdeploy.codegen.c.straight import with_straight_code
from qdeploy.ir.integer_graph import Add, IntegerGraph

# What the caller holds; all other buffers are `buffer of …` or `scratch of …`.
INPUT, LOGITS = "input", "logits"


@dataclass(frozen=True)
class Program:
    """A network as C runs it.

    Args:
        graph: the integer graph.
        steps: in execution order.
        source: the input in memory.
        storage: tensor -> the buffer it is in; `INPUT`, `LOGITS`, or one of the memory plan.
        memory: offsets of buffers and of each step's scratch, `scratch_name` of its number.
        choices: how it was made.
    """

    graph: IntegerGraph
    steps: tuple[Step, ...]
    source: Stored
    storage: Mapping[str, str]
    memory: MemoryPlan
    choices: Choices = OPTIMIZE[BALANCED]

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
        for step in self.steps:
            if step.fused is not None and step.staging is not None:
                height, band = step.fused.middle.height, step.staging.band
                for first in range(0, height, band):
                    rows = min(band, height - first)
                    found += [(one, one.bytes // height * rows) for one in step.fused.held]
            found.append((step.result, step.result.bytes))
        return found

    @property
    def result(self) -> Stored:
        """The output in memory."""
        return next(one.result for one in self.steps if one.result.name == self.graph.output)


def scratch_name(step: int) -> str:
    """The buffer of a step's scratch memory."""
    return f"scratch of step {step}"


def program_of(graph: IntegerGraph, choices: Choices = OPTIMIZE[BALANCED]) -> Program:
    """Steps and memory of a network.

    Raises:
        UnsupportedLayerError: as `steps_of`.
    """
    found = steps_of(graph, choices)
    if choices.fused:
        found = fused_adds(found)
    if choices.straight:
        found = with_straight_code(found, choices.straight)
    steps = [_commuted(step, number, found) for number, step in enumerate(found)]
    if choices.packed:

        def peak(tried: list[Step]) -> int:
            least = [_banded(step, choices.least_band) for step in tried]
            return max(live_bytes(_lives(least, _buffers(least, graph)[1]), len(least)))

        steps = packed_maps(steps, graph, peak)
    storage, buffers = _buffers(steps, graph)
    steps, memory = _with_scratch(steps, buffers, choices.least_band)
    tensor = graph.tensors[graph.input]
    element = Element.holding(tensor.lo, tensor.hi)
    assert element is not None, "`steps_of` refuses others"
    given = Stored(graph.input, element, *sizes_of(tensor))
    return Program(graph, tuple(steps), given, storage, memory, choices)


def _buffers(steps: list[Step], graph: IntegerGraph) -> tuple[dict[str, str], list[Lifetime]]:
    """Tensor -> its buffer, and the buffers' lifetimes; steps write over what is read last."""
    storage = {graph.input: INPUT, graph.output: LOGITS}
    first: dict[str, int] = {}
    last = _last_reads(steps)
    ends: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for number, step in enumerate(steps):
        name = step.result.name
        if name not in storage:
            storage[name] = _given_over(step, number, storage, ends) or f"buffer of {name}"
        buffer = storage[name]
        if buffer not in (INPUT, LOGITS):
            first.setdefault(buffer, number)
            ends[buffer] = max(ends.get(buffer, 0), last.get(name, number))
            sizes[buffer] = max(sizes.get(buffer, 0), step.result.bytes)
    return storage, [Lifetime(name, sizes[name], first[name], ends[name]) for name in sizes]


def _given_over(
    step: Step, number: int, storage: dict[str, str], ends: dict[str, int]
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


def _with_scratch(
    steps: list[Step], buffers: list[Lifetime], least_band: int
) -> tuple[list[Step], MemoryPlan]:
    """Bands as high as the arena has room for that it needs anyway, and the plan with them."""
    least = [_banded(step, least_band) for step in steps]
    size = plan_memory(_lives(least, buffers), len(steps)).bound
    live = live_bytes(buffers, len(steps))
    high = [_highest(step, size - live[number]) for number, step in enumerate(least)]
    return high, plan_memory(_lives(high, buffers), len(steps))


def _lives(steps: list[Step], buffers: list[Lifetime]) -> list[Lifetime]:
    scratch = [
        Lifetime(scratch_name(number), step.scratch, number, number)
        for number, step in enumerate(steps)
        if step.scratch
    ]
    return buffers + scratch


def _banded(step: Step, band: int) -> Step:
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


def _highest(step: Step, room: int) -> Step:
    """Rows in as few bands of one height as there is room for."""
    if step.staging is None:
        return step
    height = step.result.height
    for bands in range(1, height):
        found = _banded(step, -(-height // bands))
        if found.scratch <= room:
            return found
    return step


def _last_reads(steps: list[Step]) -> dict[str, int]:
    return {one.name: number for number, step in enumerate(steps) for one in step.sources}


def _commuted(step: Step, number: int, steps: list[Step]) -> Step:
    """An Add reads first the tensor that nothing reads later, so that it can write over it."""
    if not isinstance(step.node, Add):
        return step
    last = _last_reads(steps)
    one, other = step.sources
    if last[one.name] == number or last[other.name] != number:
        return step
    return Step(step.node, (other, one), step.result, step.finish, in_place=True)
