"""Folding: how parallel each layer is, and what it is made of.

A matrix unit takes (MW / SIMD) · (MH / PE) cycles for each input vector; what moves data takes one
cycle a beat. The slowest layer sets the frame rate. `fold_options` lists every legal folding with
its measured costs, `fold_solver` picks: the fastest that fits the board, or for a given rate the
one that takes least of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdeploy.dataflow.cost.blocks import BlockCosts, load_costs
from qdeploy.dataflow.cost.need import KINDS, Need
from qdeploy.dataflow.folding.budget import LUT_SHARE, Budget
from qdeploy.dataflow.folding.file import Value, Wish, files_of, restrict
from qdeploy.dataflow.folding.infeasible import advice, biggest, nearest, overshoot
from qdeploy.dataflow.folding.options import Menu, menu
from qdeploy.dataflow.folding.solver import Option, Slot, Solution, solve
from qdeploy.errors import DoesNotFitError, FoldingError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

# An estimate this far above the board is beyond doubt; nearer, synthesis has the last word.
HOPELESS = 1.5


@dataclass(frozen=True)
class _About:
    """What messages are about.

    Args:
        file: the folding file, as `files_of` names it.
        full: what there was to choose from before that file had its say.
    """

    model: ModelWrapper
    costs: BlockCosts
    clock_mhz: float | None
    file: str
    full: Menu

    def options(self, slot: str) -> Sequence[Option]:
        """All options of a slot."""
        return next(one.options for one in self.full.slots if one.name == slot)

    def rate(self, cycles: int) -> str:
        """`cycles` a frame as a rate."""
        if self.clock_mhz is None:
            return f"one frame in {cycles:,} cycles"
        return f"{self.clock_mhz * 1e6 / cycles:,.0f} frames/s ({cycles:,} cycles a frame)"


@dataclass(frozen=True)
class Folding:
    """The folding of a model.

    Args:
        attributes: layer name -> node attributes.
        solution: cycles, the bound that was proved, estimated resources.
        legal: what there was to choose from.
    """

    attributes: Mapping[str, Mapping[str, Value]]
    solution: Solution
    legal: Menu


def fold(
    model: ModelWrapper,
    budget: Budget,
    cycles: int | None = None,
    *,
    floor: int = 1,
    wishes: Sequence[Wish] = (),
    costs: BlockCosts | None = None,
    clock_mhz: float | None = None,
) -> Folding:
    """Set the folding of every layer, in place.

    Args:
        model: specialized hardware layers.
        cycles: a frame may take; None asks for as few as the budget allows.
        floor: cycles a frame takes anyway, to come in: a faster folding only takes more room.
        wishes: what single layers have to be like.
        costs: measured costs of blocks; those of Series 7 when None.
        clock_mhz: for rates in messages, which are in cycles when None.

    Raises:
        FoldingError: a wish is not legal, no folding is that fast, or not even the slowest fits.
        DoesNotFitError: at that rate the estimate is far beyond the board.
    """
    from qonnx.custom_op.registry import getCustomOp

    costs = costs or load_costs()
    full = menu(model, costs)
    about = _About(model, costs, clock_mhz, files_of(wishes), full)
    legal = Menu(restrict(full.slots, wishes), full.joints)
    if cycles is None:
        solution = _fastest(legal, budget, floor, about)
    else:
        solution = _least(legal, budget, cycles, about)
    attributes: dict[str, Mapping[str, Value]] = {}
    for option in solution.picked.values():
        attributes |= option.attributes
    for node in model.graph.node:
        inst = getCustomOp(node)
        for key, value in attributes[node.name].items():
            inst.set_nodeattr(key, value)
    ordered = {node.name: attributes[node.name] for node in model.graph.node}
    return Folding(ordered, solution, legal)


def _fastest(legal: Menu, budget: Budget, floor: int, about: _About) -> Solution:
    found = solve(legal.slots, legal.joints, budget.room())
    if found is None:
        slowest = max(option.cycles for slot in legal.slots for option in slot.options)
        least, room = _nearest(legal, budget, slowest), budget.room()
        help_ = advice(about.model, about.costs, least, room)
        which = "the slowest folding"
        if about.file:
            which += f" that {about.file} allows"
            help_ = _ask_for_less(budget, None, about) or help_
        raise FoldingError(
            f"not even {which} is estimated to fit the board",
            where=biggest(least, room),
            why=overshoot(least.need, room),
            do=help_,
        )
    if found.cycles >= floor:
        return found
    return solve(legal.slots, legal.joints, budget.room(), floor) or found


def _least(legal: Menu, budget: Budget, cycles: int, about: _About) -> Solution:
    for slot in legal.slots:
        fastest = min(option.cycles for option in slot.options)
        if fastest > cycles:
            why = f"its most parallel folding takes {fastest}"
            help_ = f"ask for at most {about.rate(fastest)}, or leave the rate out: as fast as fits"
            free = min(option.cycles for option in about.options(slot.name))
            if free < fastest:
                why += f" with what {about.file} asks for, {free} without"
                help_ += f"; or ask for more of it in {about.file}"
            raise FoldingError(
                f"layer `{slot.name}` cannot finish a frame within {cycles} cycles",
                why=why,
                do=help_,
            )
    for factor in (1.0, HOPELESS / LUT_SHARE):
        found = solve(legal.slots, legal.joints, budget.room(factor), cycles)
        if found is not None:
            return found
    least, room = _nearest(legal, budget, cycles), budget.room()
    fitting = solve(legal.slots, legal.joints, room)
    help_ = advice(about.model, about.costs, least, room)
    if about.file:
        help_ = _ask_for_less(budget, cycles, about) or help_
    if fitting is not None:
        rate = about.rate(fitting.cycles)
        help_ = f"ask for at most {rate}, or leave the rate out: as fast as fits; {help_}"
    raise DoesNotFitError(
        f"at {cycles} cycles a frame the design is far larger than the board",
        where=biggest(least, room),
        why=overshoot(least.need, room),
        do=help_,
    )


def _ask_for_less(budget: Budget, cycles: int | None, about: _About) -> str | None:
    """What to change in the folding file, where the design would fit without it."""
    if solve(about.full.slots, about.full.joints, budget.room(), cycles) is None:
        return None
    return f"ask for less in {about.file}: without it the design is estimated to fit"


def _nearest(legal: Menu, budget: Budget, cycles: int) -> Solution:
    """The folding of at most `cycles` that exceeds the board by least."""

    def solved(factor: float) -> Solution | None:
        return solve(legal.slots, legal.joints, budget.room(factor), cycles, effort_s=1.0)

    return nearest(solved) or _smallest(legal, cycles)


def _smallest(legal: Menu, cycles: int) -> Solution:
    """The least folding of at most `cycles`, whatever it takes."""
    endless = Need(*(10**7 for _ in KINDS))
    # Where nothing binds, each slot's own least is near the least of all: no effort is spent.
    slots = [Slot(slot.name, slot.options) for slot in legal.slots]
    found = solve(slots, legal.joints, endless, cycles, effort_s=1.0)
    assert found is not None
    return found
