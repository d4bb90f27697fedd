"""Frame rates and cycles: what a rate requires, and what the input's bandwidth allows."""

from __future__ import annotations

import math

from qdeploy.devices.boards import Board
from qdeploy.errors import FoldingError
from qdeploy.ir.integer_graph import IntegerGraph


def cycles_for(fps: float, clock_mhz: float, arriving: int = 1) -> int:
    """Cycles per frame at a rate and clock, at most.

    Args:
        arriving: cycles in which a frame arrives.

    Raises:
        FoldingError: the rate is not a positive number, above one frame per cycle, or above what
            the input's bandwidth allows.
    """
    if not (math.isfinite(fps) and 0 < fps <= clock_mhz * 1e6):
        raise FoldingError(
            f"{fps:g} frames per second cannot be reached",
            why=f"the clock is {clock_mhz:g} MHz",
            do="ask for a positive rate below the clock",
        )
    cycles = int(clock_mhz * 1e6 / fps)
    if cycles < arriving:
        raise FoldingError(
            f"{fps:g} frames per second are more than the board can send to the accelerator",
            why=f"a frame arrives in {arriving} cycles of {clock_mhz:g} MHz",
            do=f"ask for at most {math.floor(clock_mhz * 1e6 / arriving):,} frames per second, or "
            "use fewer bits per input: `quantization.input_bits`",
        )
    return cycles


def cycles_to_arrive(graph: IntegerGraph, board: Board) -> int:
    """Cycles in which a frame arrives through the board's DMA, packed as tightly as possible."""
    source = graph.tensors[graph.input]
    return math.ceil(math.prod(source.shape) * source.dtype.bits / board.dma_bits)
