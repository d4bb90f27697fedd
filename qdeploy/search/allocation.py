"""Bit allocation: one width for each operand, as an exact integer program.

    minimize    Σ_o Ω_o(b_o)                                  sensitivities
    subject to  Σ_g price_g(b_o for the operands o of g)      within the limit, kind by kind

b_o is one of the widths that o has a sensitivity for; the price of a group of hardware layers is a
table over the widths of its operands. Among choices with the same sum the one with the fewest LUTs
is taken. CP-SAT (OR-tools) proves the optimum, or says that its effort did not suffice.
Sensitivities are rounded to parts of their sum.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from qdeploy.dataflow.cost.usage import KINDS, ResourceUsage
from qdeploy.errors import InternalError

O = TypeVar("O", bound=Hashable)  # noqa: E741 (an operand)
# The largest sum of sensitivities is this many parts.
PARTS = 10**12
# Seconds of CP-SAT's deterministic clock for each of the two objectives.
EFFORT_S = 60.0


@dataclass(frozen=True)
class PriceTable(Generic[O]):
    """What a group of hardware layers costs.

    Args:
        operands: whose widths its price depends on; none for a constant price.
        prices: widths of these operands, in their order -> usage; widths left out are impossible.
    """

    operands: tuple[O, ...]
    prices: Mapping[tuple[int, ...], ResourceUsage]


@dataclass(frozen=True)
class Allocation(Generic[O]):
    """Widths of least sensitivity.

    Args:
        widths: operand -> bits.
        proven: whether no other choice within the limit has a smaller sum for certain.
    """

    widths: Mapping[O, int]
    proven: bool


def allocate(
    sensitivities: Mapping[O, Mapping[int, float]],
    tables: Sequence[PriceTable[O]],
    limit: ResourceUsage,
) -> Allocation[O] | None:
    """The widths of least sensitivity within the limit; None where no widths are.

    Args:
        sensitivities: operand -> bits -> Ω, 0 or more.
        tables: prices, of the groups of the design.
        limit: for the sum of all prices.

    Raises:
        InternalError: the effort did not suffice to find any.
    """
    program = _Program(sensitivities, tables, limit)
    first = program.minimized(program.sensitivity)
    if first is None:
        return None
    proven = program.proven
    program.model.add(program.sensitivity <= first)
    program.minimized(program.usage["lut"])
    return Allocation(program.widths(), proven)


class _Program(Generic[O]):
    def __init__(
        self,
        sensitivities: Mapping[O, Mapping[int, float]],
        tables: Sequence[PriceTable[O]],
        limit: ResourceUsage,
    ) -> None:
        from ortools.sat.python import cp_model

        self.cp = cp_model
        self.model = cp_model.CpModel()
        self.solver: Any = None
        self.proven = False
        self.chosen = {
            operand: {bits: self.model.new_bool_var("") for bits in by_width}
            for operand, by_width in sensitivities.items()
        }
        for variables in self.chosen.values():
            self.model.add_exactly_one(variables.values())
        largest = sum(max(by_width.values()) for by_width in sensitivities.values())
        part = PARTS / largest if largest > 0 else 0.0
        self.sensitivity = sum(
            round(part * sensitivities[operand][bits]) * variable
            for operand, variables in self.chosen.items()
            for bits, variable in variables.items()
        )
        terms = [term for table in tables for term in self._terms(table)]
        self.usage = {
            kind: sum(getattr(price, kind) * variable for variable, price in terms)
            for kind in KINDS
        }
        for kind in KINDS:
            if terms:
                self.model.add(self.usage[kind] <= getattr(limit, kind))

    def _terms(self, table: PriceTable[O]) -> list[tuple[Any, ResourceUsage]]:
        """A variable for each row of the table; the one with the chosen widths is true."""
        rows = {
            widths: self.model.new_bool_var("")
            for widths in table.prices
            if all(
                bits in self.chosen[operand]
                for operand, bits in zip(table.operands, widths, strict=True)
            )
        }
        self.model.add_exactly_one(rows.values())
        for place, operand in enumerate(table.operands):
            for bits, variable in self.chosen[operand].items():
                having = [row for widths, row in rows.items() if widths[place] == bits]
                self.model.add(sum(having) == variable)
        return [(row, table.prices[widths]) for widths, row in rows.items()]

    def minimized(self, objective: Any) -> int | None:
        """The least value; None where nothing is within the limit."""
        self.model.minimize(objective)
        solver = self.cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 0
        solver.parameters.max_deterministic_time = EFFORT_S
        solver.parameters.catch_sigint_signal = False  # Python has its own way to stop
        status = solver.solve(self.model)
        if status == self.cp.INFEASIBLE:
            return None
        if status not in (self.cp.OPTIMAL, self.cp.FEASIBLE):
            raise InternalError(f"the bit allocation ended as {solver.status_name(status)}")
        self.solver, self.proven = solver, status == self.cp.OPTIMAL
        return round(solver.objective_value)

    def widths(self) -> dict[O, int]:
        """What was chosen."""
        return {
            operand: next(bits for bits, one in variables.items() if self.solver.value(one))
            for operand, variables in self.chosen.items()
        }
