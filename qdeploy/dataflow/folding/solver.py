"""The fastest folding that fits, as an integer program.

Each slot (a layer, or a layer with what moves its pixels) picks one option. Options cost LUTs, FFs,
BRAM18, DSPs and LUT RAM; where two slots meet at different widths a converter costs LUTs and FFs as
well.

    first    minimize T     with cycles(slot) <= T for each slot, costs within the budget
    second   minimize the sum of the shares of the budget used, with T as found

CP-SAT (OR-tools) proves both optimal or says how far from the optimum they can be at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.dataflow.cost.need import KINDS, Need

IntArray = npt.NDArray[np.int64]

# LUTs that are memory are among the LUTs already.
_SHARED = KINDS[:4]
# CP-SAT counts effort in seconds of a fixed machine: results do not depend on the load.
EFFORT_S = 4.0
# The second objective adds shares of the budget in parts of this.
PARTS = 1_000_000
# Stands for widths that cannot be connected: more than any design needs.
FORBIDDEN = 1 << 40


@dataclass(frozen=True)
class Option:
    """One legal folding of a slot.

    Args:
        attributes: node name -> attributes to set.
        cycles: a frame takes in the slot's slowest layer.
        need: resources of all layers of the slot.
        widths: bits a beat at each of the slot's ends, by stream name.
    """

    attributes: Mapping[str, Mapping[str, int | str]]
    cycles: int
    need: Need
    widths: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Slot:
    """What is folded together; exactly one option is picked."""

    name: str
    options: Sequence[Option]


@dataclass(frozen=True)
class Joint:
    """Where slot `source` feeds slot `sink` through the stream `stream`.

    Args:
        converter: (bits out, bits in) -> what connects them, also where they are equal (a FIFO);
            a pair that is missing cannot be connected.
    """

    source: str
    sink: str
    stream: str
    converter: Mapping[tuple[int, int], Need]


@dataclass(frozen=True)
class Solution:
    """What was found.

    Args:
        picked: option of each slot.
        cycles: of the slowest slot; `bound`: no folding within the budget is faster.
        need: all slots and what connects them.
        slack: at most this share of the budget used could be saved at these cycles; 0 is proof
            that nothing can.
    """

    picked: Mapping[str, Option]
    cycles: int
    bound: int
    need: Need
    slack: float

    @property
    def optimal(self) -> bool:
        """Whether nothing faster fits, for certain."""
        return self.cycles == self.bound


def solve(
    slots: Sequence[Slot],
    joints: Sequence[Joint],
    budget: Need,
    cycles: int | None = None,
    effort_s: float = EFFORT_S,
) -> Solution | None:
    """The fastest folding within `budget`, or the least one of at most `cycles`; None: none fits.

    The slowest slot's cycles are some option's, so the fastest folding is found by bisection over
    those: with the options that are too slow left out, each step is a small program.

    Args:
        budget: resources there are.
        cycles: a frame may take; None asks for as few as fit.
        effort_s: seconds (of CP-SAT's deterministic clock) for each step of the bisection, and
            for the second objective.
    """
    pruned = [_pruned(slot, joints) for slot in slots]
    detours = _Detours(joints)
    floor = max(min(option.cycles for option in slot.options) for slot in pruned)
    steps = sorted({o.cycles for slot in pruned for o in slot.options if o.cycles >= floor})
    if cycles is not None:
        steps = [cycles] if cycles >= floor else []
    impossible, unknown, fastest = -1, False, len(steps)
    best = None
    # A step without an answer counts as too fast at first; a second round, with more effort, looks
    # for the slowest step that is impossible for certain, and may find a folding after all.
    for effort in (effort_s, 2 * effort_s):
        low, high = impossible + 1, fastest - 1
        while low <= high:
            middle = (low + high) // 2
            fast = [_fast(slot, steps[middle], detours) for slot in pruned]
            program = _Program(fast, joints, budget)
            answer = program.fits(effort)
            if answer is True:
                best, fastest, high = program, middle, middle - 1
            elif answer is False:
                impossible, low = middle, middle + 1
            elif effort == effort_s:
                unknown, low = True, middle + 1
            else:
                high = middle - 1
        if not unknown or best is None:
            break
    if best is None:
        return None
    bound = max(floor, steps[min(impossible + 1, len(steps) - 1)])
    slack = best.spare(effort_s)
    picked = best.picked()
    reached = max(option.cycles for option in picked.values())
    return Solution(picked, reached, min(bound, reached), best.need(), slack)


class _Detours:
    """What a slot's neighbours may pay at most when it changes the width of a stream."""

    def __init__(self, joints: Sequence[Joint]) -> None:
        self.joints = joints
        self._ends: dict[tuple[int, int], tuple[dict[int, int], IntArray]] = {}

    def of(self, slot: str) -> list[tuple[str, dict[int, int], IntArray]]:
        """Stream, index of each width, and (to, from, kind) -> what connecting costs more."""
        found = []
        for number, joint in enumerate(self.joints):
            for side, name in enumerate((joint.source, joint.sink)):
                if name == slot:
                    key = (number, side)
                    if key not in self._ends:
                        self._ends[key] = _detours(joint, side)
                    found.append((joint.stream, *self._ends[key]))
        return found


def _detours(joint: Joint, side: int) -> tuple[dict[int, int], IntArray]:
    widths = sorted({pair[side] for pair in joint.converter})
    others = sorted({pair[1 - side] for pair in joint.converter})
    table = np.full((len(widths), len(others), len(KINDS)), FORBIDDEN, dtype=np.int64)
    index = {width: number for number, width in enumerate(widths)}
    if not joint.converter:
        return index, np.zeros((0, 0, len(KINDS)), dtype=np.int64)
    place = {width: number for number, width in enumerate(others)}
    for pair, need in joint.converter.items():
        table[index[pair[side]], place[pair[1 - side]]] = [getattr(need, k) for k in KINDS]
    more = (table[:, None] - table[None, :]).max(axis=2)
    return index, np.maximum(more, 0)


def _fast(slot: Slot, cycles: int, detours: _Detours) -> Slot:
    """With only those options of at most `cycles` that can be part of the best folding.

    An option is left out when another one needs no more of anything, whatever the widths of the
    neighbours: what connecting may cost more is added to what the other one needs.
    """
    found = detours.of(slot.name)
    enough = [
        option
        for option in slot.options
        if option.cycles <= cycles and all(option.widths[s] in index for s, index, _ in found)
    ]
    enough.sort(key=lambda option: (sum(_needs(option)), option.cycles))
    needs = np.array([_needs(option) for option in enough], dtype=np.int64).reshape(-1, len(KINDS))
    ends = [
        (np.array([index[option.widths[stream]] for option in enough], dtype=np.int64), more)
        for stream, index, more in found
    ]
    kept: list[int] = []
    for number in range(len(enough)):
        front = np.array(kept, dtype=np.int64)
        bound = needs[front]
        for widths, more in ends:
            bound = bound + more[widths[front], widths[number]]
        if not (bound <= needs[number]).all(axis=1).any():
            kept.append(number)
    return Slot(slot.name, [enough[number] for number in kept])


def _pruned(slot: Slot, joints: Sequence[Joint]) -> Slot:
    """Without options that another one with the same widths beats in every figure."""
    joined = {joint.stream for joint in joints if slot.name in (joint.source, joint.sink)}
    groups: dict[tuple[int | None, ...], list[Option]] = {}
    for option in slot.options:
        key = tuple(option.widths.get(name) for name in sorted(joined))
        groups.setdefault(key, []).append(option)
    kept: list[Option] = []
    for options in groups.values():
        front: list[tuple[int, ...]] = []
        for option in sorted(options, key=_figures):
            figures = _figures(option)
            if not any(all(a <= b for a, b in zip(f, figures, strict=True)) for f in front):
                front.append(figures)
                kept.append(option)
    return Slot(slot.name, kept)


def _figures(option: Option) -> tuple[int, ...]:
    return (option.cycles, *_needs(option))


def _needs(option: Option) -> tuple[int, ...]:
    return tuple(getattr(option.need, kind) for kind in KINDS)


class _Program:
    """The integer program: one option a slot, all within the budget; and its last solution."""

    def __init__(self, slots: Sequence[Slot], joints: Sequence[Joint], budget: Need) -> None:
        from ortools.sat.python import cp_model

        self.cp = cp_model
        self.model = cp_model.CpModel()
        self.budget = budget
        self.solver: Any = None
        self.options = {slot.name: slot.options for slot in slots}
        self.chosen = {
            name: [self.model.new_bool_var("") for _ in options]
            for name, options in self.options.items()
        }
        self.costs: list[tuple[Any, Need]] = []
        for name, variables in self.chosen.items():
            self.model.add_exactly_one(variables)
            needs = (option.need for option in self.options[name])
            self.costs += zip(variables, needs, strict=True)
        for joint in joints:
            self._connect(joint)
        for kind in KINDS:
            self.model.add(self._sum(kind) <= getattr(budget, kind))

    def _sum(self, kind: str) -> Any:
        return sum(getattr(need, kind) * variable for variable, need in self.costs)

    def _connect(self, joint: Joint) -> None:
        """A variable for each pair of widths; exactly one is true, and it is the slots' own."""
        ends = []
        for name in (joint.source, joint.sink):
            by_width: dict[int, list[Any]] = {}
            for option, variable in zip(self.options[name], self.chosen[name], strict=True):
                by_width.setdefault(option.widths[joint.stream], []).append(variable)
            ends.append(by_width)
        pairs = {
            (a, b): self.model.new_bool_var("")
            for a in ends[0]
            for b in ends[1]
            if (a, b) in joint.converter
        }
        for side, by_width in enumerate(ends):
            for width, variables in by_width.items():
                having = [v for pair, v in pairs.items() if pair[side] == width]
                self.model.add(sum(having) == sum(variables))
        self.costs += ((variable, joint.converter[pair]) for pair, variable in pairs.items())

    def fits(self, effort_s: float) -> bool | None:
        """Whether some folding fits; None when that stays open."""
        return self._solve(effort_s, first=True)

    def spare(self, effort_s: float) -> float:
        """Go on to the folding that uses the least shares; which part of them it may be above."""
        for variables in self.chosen.values():
            for variable in variables:
                self.model.add_hint(variable, self.solver.value(variable))
        before = self.solver
        if self._solve(effort_s, first=False) is not True:
            self.solver = before
            return 1.0
        used = float(self.solver.objective_value)
        return (used - float(self.solver.best_objective_bound)) / used if used else 0.0

    def _solve(self, effort_s: float, *, first: bool) -> bool | None:
        shares = []
        for kind in _SHARED:
            part = PARTS // max(1, getattr(self.budget, kind))
            shares.append(part * self._sum(kind))
        self.model.minimize(sum(shares))
        solver = self.cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 0
        solver.parameters.max_deterministic_time = effort_s
        solver.parameters.stop_after_first_solution = first
        solver.parameters.catch_sigint_signal = False  # Python has its own way to stop
        status = solver.solve(self.model)
        if status in (self.cp.OPTIMAL, self.cp.FEASIBLE):
            self.solver = solver
            return True
        return False if status == self.cp.INFEASIBLE else None

    def picked(self) -> dict[str, Option]:
        """The option of each slot."""
        return {
            name: next(
                option
                for option, variable in zip(self.options[name], variables, strict=True)
                if self.solver.value(variable)
            )
            for name, variables in self.chosen.items()
        }

    def need(self) -> Need:
        """Resources of the solution."""
        total = Need()
        for variable, need in self.costs:
            if self.solver.value(variable):
                total += need
        return total
