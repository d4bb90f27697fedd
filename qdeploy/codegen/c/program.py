"""The steps of a network with a place in memory for everything they touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qdeploy.codegen.c.elements import Element, Stored, sizes_of
from qdeploy.codegen.c.memory import Lifetime, MemoryPlan, plan_memory
from qdeploy.codegen.c.steps import Step, steps_of
from qdeploy.ir.integer_graph import Add, IntegerGraph

# What the caller holds; all other buffers are `buffer of …` or `scratch of …`.
INPUT, LOGITS = "input", "logits"
# Rows of a staged convolution at a time, at least.
LEAST_BAND = 4


@dataclass(frozen=True)
class Program:
    """A network as C runs it.

    Args:
        graph: the integer graph.
        steps: in execution order.
        source: the input in memory.
        storage: tensor -> the buffer it is in; `INPUT`, `LOGITS`, or one of the memory plan.
        memory: offsets of buffers and of each step's scratch, `scratch_name` of its number.
    """

    graph: IntegerGraph
    steps: tuple[Step, ...]
    source: Stored
    storage: Mapping[str, str]
    memory: MemoryPlan

    @property
    def result(self) -> Stored:
        """The output in memory."""
        return next(one.result for one in self.steps if one.result.name == self.graph.output)


def scratch_name(step: int) -> str:
    """The buffer of a step's scratch memory."""
    return f"scratch of step {step}"


def program_of(graph: IntegerGraph, *, fast: bool = True) -> Program:
    """Steps and memory of a network.

    Args:
        fast: as of `steps_of`.

    Raises:
        UnsupportedLayerError: as `steps_of`.
    """
    found = steps_of(graph, fast=fast)
    steps = [_commuted(step, number, found) for number, step in enumerate(found)]
    storage = {graph.input: INPUT, graph.output: LOGITS}
    first: dict[str, int] = {}
    last = _last_reads(steps)
    ends: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for number, step in enumerate(steps):
        name = step.result.name
        if name not in storage:
            source = storage[step.sources[0].name]
            free = source not in (INPUT, LOGITS) and ends[source] == number
            storage[name] = source if step.in_place and free else f"buffer of {name}"
        buffer = storage[name]
        if buffer not in (INPUT, LOGITS):
            first.setdefault(buffer, number)
            ends[buffer] = max(ends.get(buffer, 0), last.get(name, number))
            sizes[buffer] = max(sizes.get(buffer, 0), step.result.bytes)
    buffers = [Lifetime(name, sizes[name], first[name], ends[name]) for name in sizes]
    steps, memory = _with_scratch(steps, buffers)
    tensor = graph.tensors[graph.input]
    element = Element.holding(tensor.lo, tensor.hi)
    assert element is not None, "`steps_of` refuses others"
    given = Stored(graph.input, element, *sizes_of(tensor))
    return Program(graph, tuple(steps), given, storage, memory)


def _with_scratch(steps: list[Step], buffers: list[Lifetime]) -> tuple[list[Step], MemoryPlan]:
    """Bands as high as the arena has room for that it needs anyway, and the plan with them."""
    least = [_banded(step, LEAST_BAND) for step in steps]
    size = plan_memory(_lives(least, buffers), len(steps)).bound
    live = plan_memory(buffers, len(steps)).live
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
    return replace(step, staging=staging, scratch=staging.scratch)


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
    fits = step.result.element.size <= other.element.size
    return Step(step.node, (other, one), step.result, step.finish, in_place=fits)
