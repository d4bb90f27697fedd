"""Folding: how parallel each layer is, and what it is made of.

A matrix unit takes (MW / SIMD) · (MH / PE) cycles for each input vector; what moves data takes one
cycle per beat. The slowest layer sets the frame rate. `options` lists every legal folding with its
measured costs, `solver` picks: the fastest that fits the board, or for a given rate the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdeploy.dataflow.cost.blocks import BlockCosts, load_costs
from qdeploy.dataflow.cost.usage import KINDS, ResourceUsage
from qdeploy.dataflow.finn.nodes import hw_nodes
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.file import FoldingConstraint, Value, files_of, restrict
from qdeploy.dataflow.folding.infeasible import advice, biggest, excess, nearest
from qdeploy.dataflow.folding.options import SearchSpace, search_space, within_beat
from qdeploy.dataflow.folding.solver import LayerGroup, Option, Solution, solve
from qdeploy.devices.capacity import usable
from qdeploy.errors import DoesNotFitError, FoldingError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

# An estimate this far above the board is beyond doubt; nearer, synthesis has the last word.
GIVE_UP_FACTOR = 1.5


@dataclass(frozen=True)
class _About:
    """What messages are about.

    Args:
        file: the folding file, as `files_of` names it.
        full: the search space before that file restricted it.
    """

    model: ModelWrapper
    costs: BlockCosts
    clock_mhz: float | None
    file: str
    full: SearchSpace

    def options(self, group: str) -> Sequence[Option]:
        """All options of a group."""
        return next(one.options for one in self.full.groups if one.name == group)

    def rate(self, cycles: int) -> str:
        """`cycles` per frame as a rate."""
        if self.clock_mhz is None:
            return f"one frame in {cycles:,} cycles"
        return f"{self.clock_mhz * 1e6 / cycles:,.0f} frames/s ({cycles:,} cycles per frame)"


@dataclass(frozen=True)
class Folding:
    """The folding of a model.

    Args:
        attributes: layer name -> node attributes.
        solution: cycles, the bound that was proved, estimated resources.
        legal: the search space it was picked from.
    """

    attributes: Mapping[str, Mapping[str, Value]]
    solution: Solution
    legal: SearchSpace


def fold(
    model: ModelWrapper,
    budget: Budget,
    cycles: int | None = None,
    *,
    min_cycles: int = 1,
    widest_beat: int | None = None,
    constraints: Sequence[FoldingConstraint] = (),
    costs: BlockCosts | None = None,
    clock_mhz: float | None = None,
) -> Folding:
    """Set the folding of every layer, in place.

    Args:
        model: specialized hardware layers.
        cycles: per frame at most; None asks for as few as the budget allows.
        min_cycles: per frame, input-bound: a faster folding would only use more of the board.
        widest_beat: bytes of a beat of the model's input and output at most; None without a limit.
        constraints: per-layer folding constraints.
        costs: measured costs of blocks; those of Series 7 when None.
        clock_mhz: for rates in messages, which are in cycles when None.

    Raises:
        FoldingError: a constraint is not legal, no folding is that fast, or not even the slowest
            fits.
        DoesNotFitError: at that rate the estimate is far beyond the board.
    """
    costs = costs or load_costs()
    full, file = search_space(model, costs), files_of(constraints)
    legal = SearchSpace(restrict(full.groups, constraints), full.edges)
    if widest_beat is not None:
        full = within_beat(full, model, widest_beat)
        legal = within_beat(legal, model, widest_beat, file)
    about = _About(model, costs, clock_mhz, file, full)
    if cycles is None:
        solution = _fastest(legal, budget, min_cycles, about)
    else:
        solution = _least(legal, budget, cycles, about)
    attributes: dict[str, Mapping[str, Value]] = {}
    for option in solution.picked.values():
        attributes |= option.attributes
    for node in hw_nodes(model):
        for key, value in attributes[node.name].items():
            node.instance.set_nodeattr(key, value)
    ordered = {node.name: attributes[node.name] for node in model.graph.node}
    return Folding(ordered, solution, legal)


def _fastest(legal: SearchSpace, budget: Budget, min_cycles: int, about: _About) -> Solution:
    found = solve(legal.groups, legal.edges, budget.limit())
    if found is None:
        slowest = max(option.cycles for group in legal.groups for option in group.options)
        least = _nearest(legal, budget, slowest)
        help_ = advice(about.model, about.costs, least, budget)
        which = "the slowest folding"
        if about.file:
            which += f" that {about.file} allows"
            help_ = _ask_for_less(budget, None, about) or help_
        raise FoldingError(
            f"not even {which} is estimated to fit the {_place(budget)}",
            where=biggest(least, budget),
            why=excess(least, budget),
            do=help_,
        )
    if found.cycles >= min_cycles:
        return found
    return solve(legal.groups, legal.edges, budget.limit(), min_cycles) or found


def _least(legal: SearchSpace, budget: Budget, cycles: int, about: _About) -> Solution:
    for group in legal.groups:
        fastest = min(option.cycles for option in group.options)
        if fastest > cycles:
            why = f"its most parallel folding takes {fastest}"
            help_ = f"ask for at most {about.rate(fastest)}, or leave the rate out: as fast as fits"
            free = min(option.cycles for option in about.options(group.name))
            if free < fastest:
                why += f" with what {about.file} asks for, {free} without"
                help_ += f"; or ask for more of it in {about.file}"
            raise FoldingError(
                f"layer `{group.name}` cannot finish a frame within {cycles} cycles",
                why=why,
                do=help_,
            )
    for factor in (1.0, GIVE_UP_FACTOR / usable("lut", estimated=True)):
        found = solve(legal.groups, legal.edges, budget.limit(factor), cycles)
        if found is not None:
            return found
    least = _nearest(legal, budget, cycles)
    fitting = solve(legal.groups, legal.edges, budget.limit())
    help_ = advice(about.model, about.costs, least, budget)
    if about.file:
        help_ = _ask_for_less(budget, cycles, about) or help_
    if fitting is not None:
        rate = about.rate(fitting.cycles)
        help_ = f"ask for at most {rate}, or leave the rate out: as fast as fits; {help_}"
    raise DoesNotFitError(
        f"at {cycles} cycles per frame the design is far larger than the {_place(budget)}",
        where=biggest(least, budget),
        why=excess(least, budget),
        do=help_,
    )


def _place(budget: Budget) -> str:
    return "budget" if budget.most else "board"


def _ask_for_less(budget: Budget, cycles: int | None, about: _About) -> str | None:
    """What to change in the folding file, where the design would fit without it."""
    if solve(about.full.groups, about.full.edges, budget.limit(), cycles) is None:
        return None
    return f"ask for less in {about.file}: without it the design is estimated to fit"


def _nearest(legal: SearchSpace, budget: Budget, cycles: int) -> Solution:
    """The folding of at most `cycles` that exceeds the board by the least factor."""

    def solved(factor: float) -> Solution | None:
        return solve(legal.groups, legal.edges, budget.limit(factor), cycles, effort_s=1.0)

    return nearest(solved) or _smallest(legal, cycles)


def _smallest(legal: SearchSpace, cycles: int) -> Solution:
    """The smallest folding of at most `cycles`, on a board without limits."""
    unlimited = ResourceUsage(*(10**7 for _ in KINDS))
    # Without limits each group's own smallest is nearly the smallest of all: little effort.
    groups = [LayerGroup(group.name, group.options) for group in legal.groups]
    found = solve(groups, legal.edges, unlimited, cycles, effort_s=1.0)
    assert found is not None
    return found
