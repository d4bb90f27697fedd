"""Which maps are packed: those without which the arena would be larger.

Packing costs instructions for every element that is written or read, so of all that may be packed
those are unpacked again, dearest first, without which the peak is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from qdeploy.codegen.c.elements import Element, Stored
from qdeploy.codegen.c.steps import Step
from qdeploy.ir.integer_graph import Conv, Dense, IntegerGraph


def packed_maps(
    steps: list[Step],
    graph: IntegerGraph,
    peak_of: Callable[[list[Step]], int],
    *,
    rows: bool = False,
) -> list[Step]:
    """The steps with elements packed where `peak_of` is smaller for it.

    Args:
        rows: pack maps alone whose rows are whole bytes then, as rings need it.
    """
    elements = _packable(steps, graph, rows=rows)
    least = peak_of(_with(steps, elements))
    for name in sorted(elements, key=lambda name: -_price(name, steps)):
        fewer = {one: element for one, element in elements.items() if one != name}
        if peak_of(_with(steps, fewer)) <= least:
            elements = fewer
    return _with(steps, elements)


def all_packed(steps: list[Step], graph: IntegerGraph, *, rows: bool = False) -> list[Step]:
    """The steps with all maps packed that may be; `rows` as of `packed_maps`."""
    return _with(steps, _packable(steps, graph, rows=rows))


def _packable(steps: list[Step], graph: IntegerGraph, *, rows: bool) -> dict[str, Element]:
    elements = {}
    for step in steps:
        tensor, row = graph.tensors[step.result.name], step.result.width * step.result.channels
        element = Element.packing(tensor.lo, tensor.hi)
        if element is None or tensor.name == graph.output or (rows and row * element.bits % 8):
            continue
        elements[tensor.name] = element
    return elements


def _price(name: str, steps: Iterable[Step]) -> int:
    """Elements that are written and read."""
    total = 0
    for step in steps:
        if step.result.name == name:
            total += step.result.count
        for source in step.sources:
            if source.name != name:
                continue
            one_by_one = isinstance(step.node, Conv | Dense) and step.staging is None
            weights = step.node.weights.size if isinstance(step.node, Conv | Dense) else 0
            total += weights * step.result.pixels if one_by_one else source.count
    return total


def _with(steps: list[Step], elements: dict[str, Element]) -> list[Step]:
    def stored(one: Stored) -> Stored:
        return replace(one, element=elements[one.name]) if one.name in elements else one

    found = []
    for step in steps:
        sources = tuple(stored(one) for one in step.sources)
        staging = step.staging
        if staging is not None and sources[0].element.packed:
            row = sources[0].width * sources[0].channels
            staging = replace(staging, spread=row)
        found.append(replace(step, sources=sources, result=stored(step.result), staging=staging))
    return found
