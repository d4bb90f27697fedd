"""The share of a board that a design may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.devices.boards import Board

# Share of the board a design may take by estimate: what lies around it and place and route need
# limit, and an estimate may be off.
LUT_SHARE = 0.8


FF_SHARE = 0.8


# Block RAMs and DSP blocks are estimated exactly; the DMA takes a few.
BLOCK_SHARE = 0.95


FF_PER_LUT = 2


@dataclass(frozen=True)
class Budget:
    """What a board offers: slice LUTs with two flip-flops each, BRAM36, DSP blocks, and how many of
    the LUTs can be memory (all when None)."""

    lut: int
    bram36: int
    dsp: int
    lutram: int | None = None

    @staticmethod
    def of(board: Board) -> Budget:
        """What a board has."""
        has = board.resources
        return Budget(has.lut, int(has.bram36), has.dsp, has.lutram)

    def without(self, reserved: Mapping[str, float]) -> Budget:
        """What is left without the reserved `lut`, `lutram`, `ff`, `bram36` and `dsp`."""
        lutram = None if self.lutram is None else self.lutram - ceil(reserved.get("lutram", 0))
        flops = ceil(reserved.get("ff", 0) / FF_PER_LUT)
        return Budget(
            self.lut - max(ceil(reserved.get("lut", 0)), flops),
            self.bram36 - ceil(reserved.get("bram36", 0)),
            self.dsp - ceil(reserved.get("dsp", 0)),
            lutram,
        )

    def limit(self, factor: float = 1.0) -> ResourceUsage:
        """The most a design may use by estimate, times `factor`."""
        return ResourceUsage(
            int(self.lut * LUT_SHARE * factor),
            int(self.lut * FF_PER_LUT * FF_SHARE * factor),
            int(self.bram36 * 2 * BLOCK_SHARE * factor),
            int(self.dsp * BLOCK_SHARE * factor),
            int((self.lut if self.lutram is None else self.lutram) * LUT_SHARE * factor),
        )
