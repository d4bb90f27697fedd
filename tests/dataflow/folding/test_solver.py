"""The folding solver against trying every folding."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.dataflow.cost.need import KINDS, Need
from qdeploy.dataflow.folding.solver import Joint, Option, Slot, solve

FREE = Need(10**6, 10**6, 10**6, 10**6, 10**6)


def option(cycles: int, lut: int, dsp: int = 0, **widths: int) -> Option:
    return Option({"node": {"PE": cycles}}, cycles, Need(lut, 0, 0, dsp), widths)


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Slot], list[Joint], Need]:
    """A chain of slots whose neighbours meet at one of three widths."""
    count = draw(st.integers(1, 4))
    small = st.integers(0, 9)
    slots = []
    for index in range(count):
        options = [
            Option(
                {},
                draw(st.integers(1, 12)),
                Need(draw(small), draw(small), draw(small), draw(small)),
                {f"s{index}": draw(st.integers(1, 3)), f"s{index + 1}": draw(st.integers(1, 3))},
            )
            for _ in range(draw(st.integers(1, 5)))
        ]
        slots.append(Slot(f"slot{index}", options))
    joints = []
    for index in range(1, count):
        table = {
            pair: Need(lut=draw(small), ff=draw(small))
            for pair in itertools.product((1, 2, 3), repeat=2)
            if draw(st.integers(0, 4))
        }
        joints.append(Joint(f"slot{index - 1}", f"slot{index}", f"s{index}", table))
    budget = Need(*(draw(st.integers(0, 40)) for _ in KINDS))
    return slots, joints, budget


def every_folding(
    slots: list[Slot], joints: list[Joint], budget: Need
) -> list[tuple[int, int, Need]]:
    """(cycles, shares used, need) of every folding that fits."""
    found = []
    for picked in itertools.product(*(slot.options for slot in slots)):
        by_name = dict(zip((slot.name for slot in slots), picked, strict=True))
        needs = [one.need for one in picked]
        pairs = [
            (by_name[j.source].widths[j.stream], by_name[j.sink].widths[j.stream]) for j in joints
        ]
        if any(pair not in j.converter for pair, j in zip(pairs, joints, strict=True)):
            continue
        needs += [j.converter[pair] for pair, j in zip(pairs, joints, strict=True)]
        total = Need()
        for need in needs:
            total += need
        if all(getattr(total, kind) <= getattr(budget, kind) for kind in KINDS):
            found.append((max(one.cycles for one in picked), shares(total, budget), total))
    return found


def shares(need: Need, budget: Need) -> int:
    return sum(getattr(need, kind) * (1_000_000 // max(1, getattr(budget, kind))) for kind in KINDS)


@settings(max_examples=60, deadline=None)
@given(programs(), st.one_of(st.none(), st.integers(1, 12)))
def test_the_solution_is_the_best_of_all(
    program: tuple[list[Slot], list[Joint], Need], cycles: int | None
) -> None:
    slots, joints, budget = program
    fitting = every_folding(slots, joints, budget)
    if cycles is not None:
        fitting = [entry for entry in fitting if entry[0] <= cycles]
    found = solve(slots, joints, budget, cycles)
    if not fitting:
        assert found is None
        return
    assert found is not None and found.slack == 0
    allowed = min(entry[0] for entry in fitting) if cycles is None else cycles
    assert found.cycles <= allowed
    within = [entry for entry in fitting if entry[0] <= allowed]
    assert shares(found.need, budget) == min(entry[1] for entry in within)
    if cycles is None:
        assert found.optimal and found.cycles == allowed


def test_dsps_are_taken_where_luts_are_scarce() -> None:
    slots = [
        Slot(f"layer{index}", [option(8, 100), option(8, 10, dsp=8), option(16, 60)])
        for index in range(4)
    ]
    found = solve(slots, [], Need(230, 0, 0, 16))
    assert found is not None
    assert found.cycles == 8 and found.need == Need(220, 0, 0, 16)


def test_a_width_that_fits_the_neighbour_saves_its_converter() -> None:
    first = Slot("a", [option(4, 10, x=2), option(4, 12, x=4)])
    second = Slot("b", [option(4, 10, x=4)])
    joint = Joint("a", "b", "x", {(2, 4): Need(lut=5), (4, 4): Need()})
    found = solve([first, second], [joint], FREE)
    assert found is not None
    assert found.picked["a"].widths["x"] == 4


def test_a_rate_no_option_reaches_has_no_folding() -> None:
    assert solve([Slot("a", [option(9, 1)])], [], FREE, cycles=8) is None


def test_the_same_program_gives_the_same_folding() -> None:
    """Many foldings are equally good here."""
    slots = [
        Slot(f"layer{i}", [option(2**k, 5 * 2 ** (8 - k), dsp=d) for k in range(8) for d in (0, 3)])
        for i in range(12)
    ]
    first, second = (solve(slots, [], Need(4_000, 0, 0, 30)) for _ in range(2))
    assert first is not None and first == second


def test_memory_in_luts_is_a_budget_of_its_own() -> None:
    logic = Option({"a": {"PE": 1}}, 10, Need(lut=50, lutram=0))
    memory = Option({"a": {"PE": 2}}, 5, Need(lut=40, lutram=40))
    slots = [Slot("a", [logic, memory])]
    wide, tight = Need(100, 100, 10, 10, 50), Need(100, 100, 10, 10, 30)
    assert solve(slots, [], wide).cycles == 5
    assert solve(slots, [], tight).cycles == 10
