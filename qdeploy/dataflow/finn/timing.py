"""Cycles per frame of a hardware layer, and the multiplications it does in them."""

from __future__ import annotations

import functools
from math import prod
from typing import TYPE_CHECKING

from qdeploy.dataflow.finn.geometry import Window
from qdeploy.dataflow.finn.nodes import HwNode
from qdeploy.ir.integer_graph import Conv, Dense, IntegerGraph, Node

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper


def frame_cycles(model: ModelWrapper, node: NodeProto) -> int:
    """Cycles per frame of a layer at steady state.

    A window that is output whole in one beat holds one only, so the unit after it also waits for
    pixels: at the end of a row, and of a frame (`parallel_cycles`).
    """
    layer = HwNode.of(model, node)
    cycles = layer.cycles
    window = _window_before(layer) if layer.has_weights else None
    if window is None:
        return cycles
    return max(cycles, windowed_cycles(window, cycles, ahead=layer.keeps_next_vector))


def windowed_cycles(window: Window, cycles: int, *, ahead: bool) -> int:
    """Cycles per frame of a unit that takes `cycles` by itself, after a parallel window.

    Args:
        ahead: see `parallel_cycles`.
    """
    interval = cycles // window.count
    return parallel_cycles(window.shape, window.span, window.stride, interval, ahead=ahead)


def _window_before(layer: HwNode) -> Window | None:
    """The parallel window that feeds a layer, None where there is none."""
    source = layer.producer()
    while source is not None and source.operator.joins_layers:
        source = source.producer()
    window = None if source is None else source.window
    return window if window is not None and window.whole else None


def macs_of(owner: Node, graph: IntegerGraph) -> int:
    """Multiplications per frame of the integer graph's node; 0 where it has no weights.

    A group's zeros are none of them: `weights` holds each group's own.
    """
    if not isinstance(owner, Conv | Dense):
        return 0
    shape = graph.tensors[owner.output].shape
    return int(owner.weights.size) * prod(shape[1:])


@functools.lru_cache(maxsize=1 << 14)
def parallel_cycles(
    shape: tuple[int, int],
    spans: tuple[int, int],
    strides: tuple[int, int],
    interval: int,
    *,
    ahead: bool = False,
) -> int:
    """Cycles per frame of a parallel window whose windows are each taken for `interval` cycles.

    While a window is worked on, the next window's pixels arrive, as many as are between the two,
    one pixel per cycle. So windows follow each other by the larger of `interval` and that distance.

    Args:
        shape: rows and columns of the padded map.
        spans: rows and columns a window covers, dilation included.
        strides: rows and columns from window to window.
        ahead: whether the unit that takes the windows keeps the next one while it works on one, as
            a matrix unit of more than one row group does: the time then bridges a gap.
    """
    rows, columns = shape
    across = (columns - spans[1]) // strides[1] + 1
    down = (rows - spans[0]) // strides[0] + 1
    reach = (across - 1) * strides[1]
    row = strides[0] * columns - reach
    frame = rows * columns - (down - 1) * strides[0] * columns - reach
    gaps = [(across - 1, strides[1]), (1, row)] * (down - 1) + [
        (across - 1, strides[1]),
        (1, frame),
    ]
    lead, total = 0, 0
    for counting in (False, True):  # one frame until the lead is at steady state
        for number, distance in gaps:
            taken = max(number * interval, number * distance - lead)
            total += taken if counting else 0
            # A window is taken the cycle after the work on the one before has begun, at best.
            gained = lead + number * (interval - distance)
            lead = min(max(gained, 0), interval - 1) if ahead and number else lead
    return total
