"""Bit allocation against all choices there are."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.dataflow.cost.usage import KINDS, ResourceUsage
from qdeploy.search.allocation import PriceTable, allocate

WIDTHS = (2, 3, 4)
OPERANDS = ("a", "b", "c", "d")


@st.composite
def problems(draw):
    """Sensitivities in whole numbers, prices of overlapping groups with rows left out, a limit."""
    operands = OPERANDS[: draw(st.integers(1, 4))]
    sensitivities = {
        one: {bits: float(draw(st.integers(0, 40))) for bits in WIDTHS} for one in operands
    }
    tables = []
    for _ in range(draw(st.integers(1, 4))):
        group = draw(st.lists(st.sampled_from(operands), max_size=3, unique=True))
        rows = {}
        for widths in product(WIDTHS, repeat=len(group)):
            if draw(st.integers(0, 9)):
                rows[widths] = ResourceUsage(
                    draw(st.integers(0, 60)), draw(st.integers(0, 9)), draw(st.integers(0, 4))
                )
        tables.append(PriceTable(tuple(group), rows))
    limit = ResourceUsage(draw(st.integers(0, 200)), draw(st.integers(0, 40)), 12, 0, 0)
    return sensitivities, tables, limit


def usage_of(tables, widths) -> ResourceUsage | None:
    total = ResourceUsage()
    for table in tables:
        row = table.prices.get(tuple(widths[one] for one in table.operands))
        if row is None:
            return None
        total += row
    return total


def best_of_all(sensitivities, tables, limit):
    """Least sum, then fewest LUTs."""
    found = []
    for choice in product(WIDTHS, repeat=len(sensitivities)):
        widths = dict(zip(sensitivities, choice, strict=True))
        usage = usage_of(tables, widths)
        if usage is not None and usage.within(limit):
            total = sum(sensitivities[one][bits] for one, bits in widths.items())
            found.append((total, usage.lut))
    return min(found, default=None)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_the_allocation_is_the_best_of_all_choices(problem) -> None:
    sensitivities, tables, limit = problem
    found = allocate(sensitivities, tables, limit)
    best = best_of_all(sensitivities, tables, limit)
    if best is None:
        assert found is None
        return
    assert found is not None
    assert found.proven
    usage = usage_of(tables, found.widths)
    assert usage is not None
    assert usage.within(limit)
    total = sum(sensitivities[one][bits] for one, bits in found.widths.items())
    assert (total, usage.lut) == best


def test_every_kind_of_resource_is_a_limit() -> None:
    sensitivities = {"a": {2: 1.0, 8: 0.0}}
    for kind in KINDS:
        prices = {(2,): ResourceUsage(), (8,): ResourceUsage(**{kind: 3})}
        tables = [PriceTable(("a",), prices)]
        for most, bits in ((3, 8), (2, 2)):
            limit = ResourceUsage(*(most if one == kind else 0 for one in KINDS))
            found = allocate(sensitivities, tables, limit)
            assert found is not None
            assert found.widths == {"a": bits}
