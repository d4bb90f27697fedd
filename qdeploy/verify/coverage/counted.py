"""The coverage of rungs that observe frames at every boundary, counted once for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import Conv, Dense, IntArray, IntegerGraph
from qdeploy.verify.coverage.frames import FrameFaults
from qdeploy.verify.units.accounts import FaultAccount, FaultCount

# Multiplications of frames that are looked at: a second or two. The frames beyond show no less.
MOST_PRODUCTS = 3_000_000_000
FEWEST_FRAMES = 5


@dataclass(frozen=True)
class Coverage:
    """Single faults, and how many frames were looked at; with fewer than a rung ran, the shares are
    lower bounds."""

    faults: FaultAccount
    frames: int

    def record(self) -> dict[str, object]:
        """As in `verify.json`."""
        return {"frames": self.frames, **self.faults.record()}


class FrameCoverage:
    """Coverage of the first n frames, for any n.

    Args:
        graph: the integer graph.
        frames: input codes (frames, *input shape).
        reference: codes at every boundary, of any integer type.
        stops: numbers of frames that will be asked for, in any order.
    """

    def __init__(
        self,
        graph: IntegerGraph,
        frames: IntArray,
        reference: Mapping[str, npt.NDArray[np.integer]],
        stops: Iterable[int] = (),
    ) -> None:
        self._graph, self._frames, self._reference = graph, frames, reference
        self._most = max(FEWEST_FRAMES, MOST_PRODUCTS // max(products_per_frame(graph), 1))
        self._stops = {self._within(one) for one in stops}
        self._state, self._done = FrameFaults(graph), 0
        self._seen: dict[int, dict[str, FaultCount]] = {}
        self._redundant: dict[str, int] | None = None

    def first(self, count: int) -> Coverage:
        """Coverage of the first `count` frames."""
        count = self._within(count)
        if count not in self._seen:
            if count < self._done:
                other = FrameFaults(self._graph)
                self._go_on(other, 0, count)
                self._seen[count] = other.seen()
            for stop in sorted(self._stops | {count}):
                if self._done < stop <= count:
                    self._go_on(self._state, self._done, stop)
                    self._done, self._seen[stop] = stop, self._state.seen()
        if self._redundant is None:
            # A fault that no input shows was not seen, however many frames there were.
            self._redundant = self._state.redundant()
        redundant = self._redundant
        faults = {
            kind: replace(one, redundant=redundant[kind]) for kind, one in self._seen[count].items()
        }
        return Coverage(FaultAccount(faults), count)

    def _within(self, count: int) -> int:
        return min(count, self._most, len(self._frames))

    def _go_on(self, state: FrameFaults, start: int, end: int) -> None:
        part = slice(start, end)
        state.add(self._frames[part], {name: c[part] for name, c in self._reference.items()})


def products_per_frame(graph: IntegerGraph) -> int:
    """Multiplications of one frame."""
    return sum(
        node.weights[0].size * prod(graph.tensors[node.output].shape)
        for node in graph.nodes
        if isinstance(node, Conv | Dense)
    )
