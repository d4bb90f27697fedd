"""How deep the FIFOs between layers have to be, known before simulation.

A join of two branches deadlocks when the shorter one cannot hold what its fork sends ahead while
the longer one still fills its windows. How far a branch lags is known before simulation: a window
outputs its first pixel after `(span - 1) rows + span pixels` of its input, where span is the
dilated kernel. Skews are counted in frames, so they add up across strides:

    skew(output) = skew(input) + ((span_h - 1)·W + span_w) / (H·W)

At a join, the branch that is ahead gets a FIFO for the difference. Windows and units also run ahead
by what they buffer themselves, which is allowed for by one more row for each window in the longer
branch. Simulation of the design then says what is really needed (`qdeploy/sim/fifo_sizing.py`);
where there is no simulator, these depths stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from qdeploy.dataflow.finn.geometry import Window
from qdeploy.dataflow.finn.nodes import hw_nodes

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

# What simulation leaves of the skew at a join, at most about, and of other FIFOs: measured on
# residual networks (folding estimates with it before anything is simulated).
LEFT = Fraction(1, 4)
SMALL = 2
# Deep enough to ride out a neighbour's pause at the end of a row; 32 words take one LUT per bit.
SHALLOW = 32


@dataclass(frozen=True)
class BranchSkew:
    """How far a stream lags behind the design's input, in frames, and rows that may be buffered."""

    needed: Fraction = Fraction(0)
    buffered: Fraction = Fraction(0)

    @property
    def total(self) -> Fraction:
        """Both together, in frames."""
        return self.needed + self.buffered

    def depth(self, beats: int) -> int:
        """Words of a FIFO that holds what a stream of `beats` per frame sends in that time."""
        return SHALLOW + ceil(self.total * beats)

    def typical_depth(self, beats: int) -> int:
        """Words the same FIFO usually has once its depth is simulated."""
        return max(SMALL, SHALLOW * ceil(self.total * beats * LEFT / SHALLOW))


class BranchSkews:
    """The skew of each stream of a model, and how long each branch waits for the others.

    Args:
        model: hardware layers in the order of the stream; their folding does not matter.
    """

    def __init__(self, model: ModelWrapper) -> None:
        skews: dict[str, BranchSkew] = {model.graph.input[0].name: BranchSkew()}
        self._waits: dict[tuple[str, str], BranchSkew] = {}
        for node in hw_nodes(model):
            streams = list(node.inputs.values())
            latest = max((skews[name] for name in streams), key=lambda skew: skew.total)
            if len(streams) > 1:
                for name in streams:
                    self._waits[node.name, name] = BranchSkew(latest.total - skews[name].total)
            if node.window is not None:
                latest = _after_window(node.window, latest)
            if node.operator.rows_kept:
                share = Fraction(node.operator.rows_kept, node.input().shape[1])
                latest = BranchSkew(latest.needed + share, latest.buffered + share)
            for name in node.outputs.values():
                skews[name] = latest

    def wait(self, node: str, stream: str) -> BranchSkew | None:
        """By how much `stream` is ahead of the latest branch at the join `node`; None: no join."""
        return self._waits.get((node, stream))


def waiting_rows(window: Window, top: int, bottom: int) -> int:
    """Rows of pixels that come in while a window pauses and that it cannot store.

    A window with a stride takes the rows it only skips in one go, once a row of windows is done: as
    they come evenly, they wait until then. So do, at the end of a frame, the next one's first rows
    while windows lie on the padding below.

    Args:
        window: geometry of the window.
        top, bottom: rows of padding before it.
    """
    stride, ahead = window.stride[0], window.rows_ahead
    if window.whole:
        return max(stride - 1, bottom)  # it keeps no pixel of a row it has not come to
    if not ahead:
        return 0
    stored = min(stride, window.span[0])  # rows no window needs are dropped
    return max(stored - ahead, bottom - max(ahead - top, 0), 0)


def _after_window(window: Window, skew: BranchSkew) -> BranchSkew:
    height, width = window.shape
    tall, wide = window.span
    frame = height * width
    return BranchSkew(
        skew.needed + Fraction((tall - 1) * width + wide, frame),
        skew.buffered + Fraction(width * tall, frame),
    )
