"""The fastest folding that fits, as an integer program.

Each layer group (a layer, or a layer with what moves its pixels) picks one option. Options cost
LUTs, FFs, BRAM18, DSPs and LUT RAM; an edge between groups of different widths costs a converter,
in LUTs and FFs, as well.

    first    minimize T     with cycles(group) <= T for each group, costs within the budget
    second   minimize the sum of the shares of the budget used, with T as found

CP-SAT (OR-tools) proves both optimal or says how far from the optimum they can be at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.dataflow.cost.usage import KINDS, ResourceUsage

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
    """One legal folding of a group.

    Args:
        attributes: node name -> attributes to set.
        cycles: per frame in the group's slowest layer.
        usage: resources of all layers of the group.
        widths: bits per beat at each of the group's ends, by stream name.
    """

    attributes: Mapping[str, Mapping[str, int | str]]
    cycles: int
    usage: ResourceUsage
    widths: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerGroup:
    """A layer and the nodes folded together with it; exactly one option is picked."""

    name: str
    options: Sequence[Option]


@dataclass(frozen=True)
class Edge:
    """Where group `source` feeds group `sink` through the stream `stream`.

    Args:
        converter: (bits out, bits in) -> what connects them, also where they are equal (a FIFO);
            a pair that is missing cannot be connected.
    """

    source: str
    sink: str
    stream: str
    converter: Mapping[tuple[int, int], ResourceUsage]


@dataclass(frozen=True)
class Solution:
    """A folding of every group.

    Args:
        picked: option of each group.
        cycles: per frame of the slowest group; `bound`: no folding within the budget is faster.
        usage: of all groups and of what connects them.
        slack: at most this share of the resources used could be saved at these cycles; 0 proves
            that nothing can.
    """

    picked: Mapping[str, Option]
    cycles: int
    bound: int
    usage: ResourceUsage
    slack: float

    @property
    def optimal(self) -> bool:
        """Whether nothing faster fits, for certain."""
        return self.cycles == self.bound


def solve(
    groups: Sequence[LayerGroup],
    edges: Sequence[Edge],
    budget: ResourceUsage,
    cycles: int | None = None,
    effort_s: float = EFFORT_S,
) -> Solution | None:
    """The fastest folding within `budget`, or the smallest of at most `cycles`; None: none fits.

    The slowest group's cycles are some option's, so the fastest folding is found by bisection over
    those: with the options that are too slow left out, each step is a small program.

    Args:
        budget: the most that may be used of each resource.
        cycles: per frame at most; None asks for as few as fit.
        effort_s: seconds of CP-SAT's deterministic clock for each step of the bisection, and
            for the second objective.
    """
    pruned = [_pruned(group, edges) for group in groups]
    detours = _Detours(edges)
    min_cycles = max(min(option.cycles for option in group.options) for group in pruned)
    steps = sorted({o.cycles for group in pruned for o in group.options if o.cycles >= min_cycles})
    if cycles is not None:
        steps = [cycles] if cycles >= min_cycles else []
    impossible, unknown, fastest = -1, False, len(steps)
    best = None
    # A step without an answer counts as too fast at first; a second round, with more effort, looks
    # for the slowest step that is impossible for certain, and may find a folding after all.
    for effort in (effort_s, 2 * effort_s):
        low, high = impossible + 1, fastest - 1
        while low <= high:
            middle = (low + high) // 2
            fast = [_fast(group, steps[middle], detours) for group in pruned]
            program = _Program(fast, edges, budget)
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
    bound = max(min_cycles, steps[min(impossible + 1, len(steps) - 1)])
    slack = best.spare(effort_s)
    picked = best.picked()
    reached = max(option.cycles for option in picked.values())
    return Solution(picked, reached, min(bound, reached), best.usage(), slack)


class _Detours:
    """What a group's neighbours may pay at most when it changes the width of a stream."""

    def __init__(self, edges: Sequence[Edge]) -> None:
        self.edges = edges
        self._ends: dict[tuple[int, int], tuple[dict[int, int], IntArray]] = {}

    def of(self, group: str) -> list[tuple[str, dict[int, int], IntArray]]:
        """Stream, index of each width, and (to, from, kind) -> what connecting costs more."""
        found = []
        for number, edge in enumerate(self.edges):
            for side, name in enumerate((edge.source, edge.sink)):
                if name == group:
                    key = (number, side)
                    if key not in self._ends:
                        self._ends[key] = _detours(edge, side)
                    found.append((edge.stream, *self._ends[key]))
        return found


def _detours(edge: Edge, side: int) -> tuple[dict[int, int], IntArray]:
    widths = sorted({pair[side] for pair in edge.converter})
    others = sorted({pair[1 - side] for pair in edge.converter})
    table = np.full((len(widths), len(others), len(KINDS)), FORBIDDEN, dtype=np.int64)
    index = {width: number for number, width in enumerate(widths)}
    if not edge.converter:
        return index, np.zeros((0, 0, len(KINDS)), dtype=np.int64)
    place = {width: number for number, width in enumerate(others)}
    for pair, usage in edge.converter.items():
        table[index[pair[side]], place[pair[1 - side]]] = [getattr(usage, k) for k in KINDS]
    more = (table[:, None] - table[None, :]).max(axis=2)
    return index, np.maximum(more, 0)


def _fast(group: LayerGroup, cycles: int, detours: _Detours) -> LayerGroup:
    """With only those options of at most `cycles` that can be part of the best folding.

    An option is left out when another one uses no more of anything, whatever the widths of the
    neighbours: the most that connecting it may cost in addition is counted as its own usage.
    """
    found = detours.of(group.name)
    enough = [
        option
        for option in group.options
        if option.cycles <= cycles and all(option.widths[s] in index for s, index, _ in found)
    ]
    enough.sort(key=lambda option: (sum(_usage_of(option)), option.cycles))
    rows = [_usage_of(option) for option in enough]
    usages = np.array(rows, dtype=np.int64).reshape(-1, len(KINDS))
    ends = [
        (np.array([index[option.widths[stream]] for option in enough], dtype=np.int64), more)
        for stream, index, more in found
    ]
    undominated: list[int] = []
    for number in range(len(enough)):
        front = np.array(undominated, dtype=np.int64)
        bound = usages[front]
        for widths, more in ends:
            bound = bound + more[widths[front], widths[number]]
        if not (bound <= usages[number]).all(axis=1).any():
            undominated.append(number)
    return LayerGroup(group.name, [enough[number] for number in undominated])


def _pruned(group: LayerGroup, edges: Sequence[Edge]) -> LayerGroup:
    """Without options that another one with the same widths beats in every figure."""
    connected = {edge.stream for edge in edges if group.name in (edge.source, edge.sink)}
    groups: dict[tuple[int | None, ...], list[Option]] = {}
    for option in group.options:
        key = tuple(option.widths.get(name) for name in sorted(connected))
        groups.setdefault(key, []).append(option)
    undominated: list[Option] = []
    for options in groups.values():
        front: list[tuple[int, ...]] = []
        for option in sorted(options, key=_figures):
            figures = _figures(option)
            if not any(all(a <= b for a, b in zip(f, figures, strict=True)) for f in front):
                front.append(figures)
                undominated.append(option)
    return LayerGroup(group.name, undominated)


def _figures(option: Option) -> tuple[int, ...]:
    return (option.cycles, *_usage_of(option))


def _usage_of(option: Option) -> tuple[int, ...]:
    return tuple(getattr(option.usage, kind) for kind in KINDS)


class _Program:
    """The integer program: one option per group, all within the budget; and its last solution."""

    def __init__(
        self, groups: Sequence[LayerGroup], edges: Sequence[Edge], budget: ResourceUsage
    ) -> None:
        from ortools.sat.python import cp_model

        self.cp = cp_model
        self.model = cp_model.CpModel()
        self.budget = budget
        self.solver: Any = None
        self.options = {group.name: group.options for group in groups}
        self.chosen = {
            name: [self.model.new_bool_var("") for _ in options]
            for name, options in self.options.items()
        }
        self.costs: list[tuple[Any, ResourceUsage]] = []
        for name, variables in self.chosen.items():
            self.model.add_exactly_one(variables)
            usages = (option.usage for option in self.options[name])
            self.costs += zip(variables, usages, strict=True)
        for edge in edges:
            self._connect(edge)
        for kind in KINDS:
            self.model.add(self._sum(kind) <= getattr(budget, kind))

    def _sum(self, kind: str) -> Any:
        return sum(getattr(usage, kind) * variable for variable, usage in self.costs)

    def _connect(self, edge: Edge) -> None:
        """A variable for each pair of widths; exactly the pair that the two groups have is true."""
        ends = []
        for name in (edge.source, edge.sink):
            by_width: dict[int, list[Any]] = {}
            for option, variable in zip(self.options[name], self.chosen[name], strict=True):
                by_width.setdefault(option.widths[edge.stream], []).append(variable)
            ends.append(by_width)
        pairs = {
            (a, b): self.model.new_bool_var("")
            for a in ends[0]
            for b in ends[1]
            if (a, b) in edge.converter
        }
        for side, by_width in enumerate(ends):
            for width, variables in by_width.items():
                having = [v for pair, v in pairs.items() if pair[side] == width]
                self.model.add(sum(having) == sum(variables))
        self.costs += ((variable, edge.converter[pair]) for pair, variable in pairs.items())

    def fits(self, effort_s: float) -> bool | None:
        """Whether some folding fits; None when the effort did not suffice to tell."""
        return self._solve(effort_s, first=True)

    def spare(self, effort_s: float) -> float:
        """Improve to the smallest sum of shares; returns the share it may still be above it."""
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
        """The option of each group."""
        return {
            name: next(
                option
                for option, variable in zip(self.options[name], variables, strict=True)
                if self.solver.value(variable)
            )
            for name, variables in self.chosen.items()
        }

    def usage(self) -> ResourceUsage:
        """Resources of the solution."""
        total = ResourceUsage()
        for variable, usage in self.costs:
            if self.solver.value(variable):
                total += usage
        return total
