"""Frame rates and cycles: what a rate asks for, and what the input brings."""

from __future__ import annotations

import math

from qdeploy.devices.boards import Board
from qdeploy.errors import FoldingError
from qdeploy.ir.integer_graph import IntegerGraph


def cycles_for(fps: float, clock_mhz: float, arriving: int = 1) -> int:
    """Cycles a frame may take at a rate and clock.

    Args:
        arriving: cycles a frame takes to come in.

    Raises:
        FoldingError: the rate is not a positive number, above one frame a cycle, or above what the
            input's bandwidth brings.
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
            f"{fps:g} frames per second are more than the board can bring to the accelerator",
            why=f"a frame takes {arriving} cycles to come in, of {clock_mhz:g} MHz",
            do=f"ask for at most {math.floor(clock_mhz * 1e6 / arriving):,} frames per second, or "
            "take fewer bits of each input: `quantization.input_bits`",
        )
    return cycles


def cycles_to_arrive(graph: IntegerGraph, board: Board) -> int:
    """Cycles a frame takes to come in through the board's DMA, packed as tight as it can be."""
    source = graph.tensors[graph.input]
    return math.ceil(math.prod(source.shape) * source.dtype.bits / board.dma_bits)
