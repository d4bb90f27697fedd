"""The folding solver against trying every folding."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.dataflow.cost.usage import KINDS, ResourceUsage
from qdeploy.dataflow.folding.solver import Edge, LayerGroup, Option, solve

FREE = ResourceUsage(10**6, 10**6, 10**6, 10**6, 10**6)


def option(cycles: int, lut: int, dsp: int = 0, **widths: int) -> Option:
    return Option({"node": {"PE": cycles}}, cycles, ResourceUsage(lut, 0, 0, dsp), widths)


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[LayerGroup], list[Edge], ResourceUsage]:
    """A chain of groups whose neighbours meet at one of three widths."""
    count = draw(st.integers(1, 4))
    small = st.integers(0, 9)
    groups = []
    for index in range(count):
        options = [
            Option(
                {},
                draw(st.integers(1, 12)),
                ResourceUsage(draw(small), draw(small), draw(small), draw(small)),
                {f"s{index}": draw(st.integers(1, 3)), f"s{index + 1}": draw(st.integers(1, 3))},
            )
            for _ in range(draw(st.integers(1, 5)))
        ]
        groups.append(LayerGroup(f"group{index}", options))
    edges = []
    for index in range(1, count):
        table = {
            pair: ResourceUsage(lut=draw(small), ff=draw(small))
            for pair in itertools.product((1, 2, 3), repeat=2)
            if draw(st.integers(0, 4))
        }
        edges.append(Edge(f"group{index - 1}", f"group{index}", f"s{index}", table))
    budget = ResourceUsage(*(draw(st.integers(0, 40)) for _ in KINDS))
    return groups, edges, budget


def every_folding(
    groups: list[LayerGroup], edges: list[Edge], budget: ResourceUsage
) -> list[tuple[int, int, ResourceUsage]]:
    """(cycles, shares used, usage) of every folding that fits."""
    found = []
    for picked in itertools.product(*(group.options for group in groups)):
        by_name = dict(zip((group.name for group in groups), picked, strict=True))
        usages = [one.usage for one in picked]
        pairs = [
            (by_name[j.source].widths[j.stream], by_name[j.sink].widths[j.stream]) for j in edges
        ]
        if any(pair not in j.converter for pair, j in zip(pairs, edges, strict=True)):
            continue
        usages += [j.converter[pair] for pair, j in zip(pairs, edges, strict=True)]
        total = ResourceUsage()
        for usage in usages:
            total += usage
        if all(getattr(total, kind) <= getattr(budget, kind) for kind in KINDS):
            found.append((max(one.cycles for one in picked), shares(total, budget), total))
    return found


def shares(usage: ResourceUsage, budget: ResourceUsage) -> int:
    return sum(
        getattr(usage, kind) * (1_000_000 // max(1, getattr(budget, kind))) for kind in KINDS
    )


@settings(max_examples=60, deadline=None)
@given(programs(), st.one_of(st.none(), st.integers(1, 12)))
def test_the_solution_is_the_best_of_all(
    program: tuple[list[LayerGroup], list[Edge], ResourceUsage], cycles: int | None
) -> None:
    groups, edges, budget = program
    fitting = every_folding(groups, edges, budget)
    if cycles is not None:
        fitting = [entry for entry in fitting if entry[0] <= cycles]
    found = solve(groups, edges, budget, cycles)
    if not fitting:
        assert found is None
        return
    assert found is not None and found.slack == 0
    allowed = min(entry[0] for entry in fitting) if cycles is None else cycles
    assert found.cycles <= allowed
    within = [entry for entry in fitting if entry[0] <= allowed]
    assert shares(found.usage, budget) == min(entry[1] for entry in within)
    if cycles is None:
        assert found.optimal and found.cycles == allowed


def test_dsps_are_taken_where_luts_are_scarce() -> None:
    groups = [
        LayerGroup(f"layer{index}", [option(8, 100), option(8, 10, dsp=8), option(16, 60)])
        for index in range(4)
    ]
    found = solve(groups, [], ResourceUsage(230, 0, 0, 16))
    assert found is not None
    assert found.cycles == 8 and found.usage == ResourceUsage(220, 0, 0, 16)


def test_a_width_that_fits_the_neighbour_saves_its_converter() -> None:
    first = LayerGroup("a", [option(4, 10, x=2), option(4, 12, x=4)])
    second = LayerGroup("b", [option(4, 10, x=4)])
    edge = Edge("a", "b", "x", {(2, 4): ResourceUsage(lut=5), (4, 4): ResourceUsage()})
    found = solve([first, second], [edge], FREE)
    assert found is not None
    assert found.picked["a"].widths["x"] == 4


def test_a_rate_no_option_reaches_has_no_folding() -> None:
    assert solve([LayerGroup("a", [option(9, 1)])], [], FREE, cycles=8) is None


def test_the_same_program_gives_the_same_folding() -> None:
    """Many foldings are equally good here."""
    groups = [
        LayerGroup(
            f"layer{i}", [option(2**k, 5 * 2 ** (8 - k), dsp=d) for k in range(8) for d in (0, 3)]
        )
        for i in range(12)
    ]
    first, second = (solve(groups, [], ResourceUsage(4_000, 0, 0, 30)) for _ in range(2))
    assert first is not None and first == second


def test_memory_in_luts_is_a_budget_of_its_own() -> None:
    logic = Option({"a": {"PE": 1}}, 10, ResourceUsage(lut=50, lutram=0))
    memory = Option({"a": {"PE": 2}}, 5, ResourceUsage(lut=40, lutram=40))
    groups = [LayerGroup("a", [logic, memory])]
    wide, tight = ResourceUsage(100, 100, 10, 10, 50), ResourceUsage(100, 100, 10, 10, 30)
    assert solve(groups, [], wide).cycles == 5
    assert solve(groups, [], tight).cycles == 10
