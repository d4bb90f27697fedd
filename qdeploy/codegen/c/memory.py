"""Where each buffer lies in the arena.

A buffer lives from the step that writes it to the last one that reads it; two that live at the same
time must not overlap. Buffers are placed one after the other at the lowest place that is free for
all of their life, in several orders; the smallest arena is taken. `bound` is the most that lives at
one time: no arrangement of these buffers is smaller, so an arena of that size is optimal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ALIGNMENT = 4
# Random orders that are tried where the fixed ones miss the bound.
TRIES = 300


@dataclass(frozen=True)
class Lifetime:
    """A buffer.

    Args:
        first, last: steps, both counted.
    """

    name: str
    bytes: int
    first: int
    last: int

    @property
    def size(self) -> int:
        """Bytes with alignment."""
        return -(-self.bytes // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class MemoryPlan:
    """Offsets of buffers in the arena, its size, and the size that none can be below.

    Args:
        buffers: what was placed.
        live: bytes that live at each step.
    """

    buffers: tuple[Lifetime, ...]
    offsets: Mapping[str, int]
    size: int
    bound: int
    live: tuple[int, ...]


def plan_memory(buffers: Sequence[Lifetime], steps: int) -> MemoryPlan:
    """Place buffers.

    Args:
        steps: how many there are.
    """
    live = live_bytes(buffers, steps)
    bound = max(live, default=0)
    orders = [
        sorted(buffers, key=lambda one: -one.size),
        sorted(buffers, key=lambda one: (one.first, -one.size)),
        sorted(buffers, key=lambda one: (one.first - one.last, -one.size)),
        sorted(buffers, key=lambda one: -one.size * (one.last - one.first + 1)),
    ]
    random = np.random.default_rng(0)
    best: dict[str, int] | None = None
    size = 0
    for attempt in range(len(orders) + TRIES):
        if attempt < len(orders):
            order = orders[attempt]
        else:
            order = [buffers[int(i)] for i in random.permutation(len(buffers))]
        offsets = _placed(order)
        found = max((offsets[one.name] + one.size for one in buffers), default=0)
        if best is None or found < size:
            best, size = offsets, found
        if size == bound:
            break
    return MemoryPlan(tuple(buffers), best or {}, size, bound, live)


def live_bytes(buffers: Sequence[Lifetime], steps: int) -> tuple[int, ...]:
    """Bytes that live at each step."""
    return tuple(
        sum(one.size for one in buffers if one.first <= step <= one.last) for step in range(steps)
    )


def _placed(order: Sequence[Lifetime]) -> dict[str, int]:
    offsets: dict[str, int] = {}
    placed: list[Lifetime] = []
    for one in order:
        taken = sorted(
            (offsets[other.name], offsets[other.name] + other.size)
            for other in placed
            if other.first <= one.last and one.first <= other.last
        )
        at = 0
        for start, end in taken:
            if at + one.size <= start:
                break
            at = max(at, end)
        offsets[one.name] = at
        placed.append(one)
    return offsets
