"""Which frames come first: those that together show most single faults of weights and thresholds.

The rungs that simulate hardware run the first frames of a build only, and a package has these as
golden frames. Greedy: each next frame is the one that adds most to what those before it show.
"""

from __future__ import annotations

import heapq

import numpy as np

from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.verify.coverage.counted import products_per_frame
from qdeploy.verify.coverage.frames import Bits, FrameFaults

# What is looked at: frames, their multiplications, and bits of all their faults together.
MOST_FRAMES = 200
MOST_PRODUCTS = 300_000_000
MOST_BITS = 1 << 30


def telling_order(graph: IntegerGraph, codes: IntArray, count: int) -> IntArray:
    """An order of the frames `codes` in which the first `count` show much; the others keep theirs.

    Deterministic. Of a large network only as many frames are looked at as there is time for.

    Args:
        codes: (frames, *input shape).
    """
    looked = min(len(codes), MOST_FRAMES, MOST_PRODUCTS // max(products_per_frame(graph), 1))
    faults = FrameFaults(graph)
    total = sum(count.total for count in faults.seen().values())
    looked = min(looked, MOST_BITS // max(total, 1))
    if looked < 2:
        return np.arange(len(codes))
    shown = [faults.shown_by(codes[index : index + 1]) for index in range(looked)]
    chosen = _greedy(shown, min(count, looked))
    rest = np.setdiff1d(np.arange(len(codes)), chosen)
    return np.concatenate([chosen, rest])


def _greedy(shown: list[tuple[Bits, Bits]], count: int) -> IntArray:
    """Indices in the order they are chosen. What a frame adds only falls as others are chosen, so
    an old figure that is still the largest after it was counted anew is the largest."""
    together = [np.bitwise_or.reduce([one[kind] for one in shown]) for kind in (0, 1)]
    # Weights and thresholds count alike, however many there are of each.
    totals = [max(int(np.bitwise_count(bits).sum()), 1) for bits in together]
    covered = [np.zeros_like(bits) for bits in shown[0]]

    def adds(index: int) -> float:
        return sum(
            int(np.bitwise_count(bits & ~done).sum()) / total
            for bits, done, total in zip(shown[index], covered, totals, strict=True)
        )

    heap = [(-adds(index), index) for index in range(len(shown))]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and len(chosen) < count:
        _, index = heapq.heappop(heap)
        now = (-adds(index), index)
        if heap and now > heap[0]:
            heapq.heappush(heap, now)
            continue
        chosen.append(index)
        for done, bits in zip(covered, shown[index], strict=True):
            done |= bits
    return np.array(chosen, dtype=np.int64)
