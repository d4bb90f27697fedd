"""FIFO depths from RTL simulation of the design itself.

One model is compiled, with deep FIFOs whose depth is limited at run time, and run with frames back
to back:

    1  deep FIFOs, the source always ready     the interval T between frames
    2  deep FIFOs, the source evenly paced     the high-water mark of every FIFO
    3  depths from the marks                   T again? If not, they are deepened
    4  smaller depths, several FIFOs at once   kept where T stays, with stalls too

The pace makes the marks useful: a source that is always ready fills everything before the
bottleneck, at any depth, while beat i offered from cycle i·T/beats on never runs ahead. Designs
of this kind (streams, units that wait for input and for room) are monotone: a word that comes
earlier, or room that is free earlier, never delays a unit. The paced run is one schedule of
interval T in which no FIFO holds more than its mark; so with these depths, and a source that is
always ready, every unit is at most as late as in that schedule, and T holds. Units are no ideal
actors in their last cycle, which is why step 3 looks.

Marks are more than is needed where a unit runs ahead only because it may. Monotone also means that
T only grows when depths shrink: step 4 takes the least depth for a group of FIFOs at once and
splits the group where T grows, so many FIFOs cost few runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

import numpy as np

from qdeploy.errors import InternalError
from qdeploy.sim.design import DRAIN_CYCLES, DesignResult, DesignSimulator, IntArray
from qdeploy.sim.errors import DeadlockError

# Up to these depths a FIFO takes what the next smaller takes and no more: two words of registers,
# or LUT RAM in steps of its cells.
REGISTERS = 2
CELL = 32
REPAIRS = 6
# Spent on making depths smaller: runs, and simulated cycles, some minutes of them. With fewer FIFOs
# it is over before; a design of very long frames stays with its marks.
TRIALS = 80
TRIAL_CYCLES = 20_000_000
# With random stalls the smaller FIFOs may cost this much; else the depths stay as the marks say.
STALL_LOSS = 1.01
# Distances between frames at the end of a run that count as steady state.
_LAST_FRAMES = 3


@dataclass(frozen=True)
class Bounds:
    """Depths a FIFO may be given: 0 (no FIFO) or 2 at least; `deep` never fills."""

    least: int
    deep: int


@dataclass(frozen=True)
class Sizing:
    """Depths and what they rest on; dictionaries by the name of the FIFO's stream.

    Args:
        interval: cycles between frames with deep FIFOs.
        marks: most words in each FIFO in the paced run.
        depths: chosen, 0 for no FIFO.
        frames: of each run.
        stalled_deep, stalled_sized: mean cycles between frames with random stalls on both sides.
        runs: how many there were.
    """

    interval: int
    marks: dict[str, int]
    depths: dict[str, int]
    frames: int
    stalled_deep: float
    stalled_sized: float
    runs: int


def rounded(depth: int) -> int:
    """The depth that costs no more than `depth`: 0, two registers, or whole cells of LUT RAM; as
    a power of two from one cell up to four, where addresses need no comparison."""
    if depth <= 0:
        return 0
    if depth <= REGISTERS:
        return REGISTERS
    cells = ceil(depth / CELL)
    return CELL * (cells if cells != 3 else 4)


def interval(result: DesignResult) -> int:
    """Cycles between frames once the design has filled: the longest of the last distances."""
    return int(np.diff(result.ends)[-_LAST_FRAMES:].max())


def average(result: DesignResult) -> float:
    """Mean cycles between frames, the first ones left out."""
    return float(np.diff(result.ends)[1:].mean())


def frames_needed(interval: int, latency: int) -> int:
    """Frames until small FIFOs have made themselves felt: those under way at once, and some more
    to look at."""
    return 2 + _LAST_FRAMES + ceil(latency / interval)


@dataclass
class FifoSizer:
    """Finds the depths of a design.

    Args:
        simulator: of a design for sizing: every FIFO deep, with a limit.
        codes: (frames, *shape) input codes; repeated where more frames are needed.
        bounds: stream -> bounds of its FIFO.
        stall, seed: chance of a stall on either side, in the runs that compare with stalls.
        on_run: called after each run with the number of runs so far.
    """

    simulator: DesignSimulator
    codes: IntArray
    bounds: Mapping[str, Bounds]
    stall: float = 0.2
    seed: int = 0
    on_run: Callable[[int], None] = lambda runs: None
    runs: int = field(default=0, init=False)

    def size(self) -> Sizing:
        """Find depths.

        Raises:
            DeadlockError: the design is deadlocked even with deep FIFOs.
        """
        deep = {stream: bound.deep for stream, bound in self.bounds.items()}
        first = self.run(deep, 2 + _LAST_FRAMES)
        frames = frames_needed(interval(first), first.latency_cycles)
        free = self.run(deep, frames)
        target = interval(free)
        paced = self.run(deep, frames, pace=Fraction(target))
        marks = self.fills(paced)
        start = {
            # One word more than the mark; a FIFO that never held two only hands words on.
            stream: self._clip(stream, rounded(mark + 1 if mark > 1 else REGISTERS))
            for stream, mark in marks.items()
        }
        most = free.cycles + target + 2 * DRAIN_CYCLES
        search = _Search(self, marks, target, frames, most)
        safe = search.repair(start)
        depths = search.shrink(safe)
        stalled = {
            name: average(self.run(chosen, frames, stall=self.stall, seed=self.seed))
            for name, chosen in (("deep", deep), ("sized", depths))
        }
        if stalled["sized"] > STALL_LOSS * stalled["deep"]:
            depths = safe
            stalled["sized"] = average(self.run(safe, frames, stall=self.stall, seed=self.seed))
        return Sizing(target, marks, depths, frames, stalled["deep"], stalled["sized"], self.runs)

    def _clip(self, stream: str, depth: int) -> int:
        bound = self.bounds[stream]
        return min(max(depth, bound.least), bound.deep)

    def fills(self, result: DesignResult) -> dict[str, int]:
        """Most words in each FIFO of a run, by stream."""
        return {fifo.stream: result.fifo_max[fifo.name] for fifo in self.simulator.design.fifos}

    def run(
        self,
        depths: Mapping[str, int],
        frames: int,
        pace: Fraction = Fraction(0),
        max_cycles: int | None = None,
        stall: float = 0.0,
        seed: int = 0,
    ) -> DesignResult:
        """One run of `frames` frames with FIFOs of these depths; the rest as the simulator's."""
        self.runs += 1
        limits = {fifo.limit_port: depths[fifo.stream] for fifo in self.simulator.design.fifos}
        codes = np.resize(self.codes, (frames, *self.codes.shape[1:]))
        result = self.simulator.run(
            codes, stall, stall, seed, pace=pace, limits=limits, max_cycles=max_cycles
        )
        self.on_run(self.runs)
        return result


@dataclass
class _Search:
    """Depths at which the interval between frames stays at most `target`."""

    sizer: FifoSizer
    marks: Mapping[str, int]
    target: int
    frames: int
    max_cycles: int

    def repair(self, start: Mapping[str, int]) -> dict[str, int]:
        """Deepen every FIFO until the interval holds.

        Not only what was full: with a source that is always ready, all before the bottleneck is.
        """
        depths, bounds = dict(start), self.sizer.bounds
        for _ in range(REPAIRS):
            if self.holds(depths):
                return depths
            depths = {
                stream: min(bounds[stream].deep, max(CELL, 2 * depth))
                for stream, depth in depths.items()
            }
        depths = {stream: bound.deep for stream, bound in bounds.items()}
        if not self.holds(depths):
            raise InternalError(
                f"`{self.sizer.simulator.design.name}` is slower in the second run with deep FIFOs"
            )
        return depths

    def holds(self, depths: Mapping[str, int]) -> bool:
        """Whether the interval is as with deep FIFOs."""
        return self._held(depths) is not None

    def _held(self, depths: Mapping[str, int]) -> dict[str, int] | None:
        """The most each FIFO held, None when the interval is longer or the design is deadlocked."""
        try:
            result = self.sizer.run(depths, self.frames, max_cycles=self.max_cycles)
        except DeadlockError:
            return None
        return self.sizer.fills(result) if interval(result) <= self.target else None

    def shrink(self, safe: Mapping[str, int]) -> dict[str, int]:
        """Make FIFOs smaller while the interval holds: first to the least, then by halves."""
        depths, marks = dict(safe), self.marks
        # Neighbours in this order are alike: what only hands words on comes first.
        small = sorted((s for s, d in safe.items() if d <= CELL), key=lambda s: marks[s])
        large = sorted((s for s, d in safe.items() if d > CELL), key=lambda s: marks[s])
        for group in (small, large):
            self._to_least(depths, [s for s in group if depths[s] > self._least(s)])
        for stream in reversed(large):
            self._halve(depths, stream)
        return depths

    def _accept(self, depths: dict[str, int], tried: Mapping[str, int]) -> bool:
        """Take depths over if the interval holds with them.

        A FIFO that was never full then may as well be smaller: it would all be the same again.
        """
        held = self._held(tried)
        if held is None:
            return False
        for stream, depth in tried.items():
            enough = max(CELL, rounded(held[stream] + 1))
            depths[stream] = min(depth, enough)
        return True

    def _spent(self) -> bool:
        runs = self.sizer.runs
        return runs >= TRIALS or runs * self.max_cycles >= TRIAL_CYCLES

    def _least(self, stream: str) -> int:
        return self.sizer.bounds[stream].least

    def _to_least(self, depths: dict[str, int], group: Sequence[str]) -> None:
        group = [stream for stream in group if depths[stream] > self._least(stream)]
        if not group or self._spent():
            return
        if self._accept(depths, depths | {stream: self._least(stream) for stream in group}):
            return
        if len(group) > 1:
            middle = len(group) // 2
            self._to_least(depths, group[:middle])
            self._to_least(depths, group[middle:])
        elif self._least(group[0]) < REGISTERS < depths[group[0]] and not self._spent():
            self._accept(depths, depths | {group[0]: REGISTERS})

    def _halve(self, depths: dict[str, int], stream: str) -> None:
        """The least whole number of cells for a large FIFO, to a sixteenth of what it has."""
        low, step = 0, max(1, depths[stream] // CELL // 16)
        # Most are as deep as needed: one run shows it.
        middle = depths[stream] // CELL - step
        while middle > low and not self._spent():
            if not self._accept(depths, depths | {stream: middle * CELL}):
                low = middle
            high = depths[stream] // CELL
            middle = (low + high) // 2 if high - low > step else low
