"""How much of a board a folding may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.devices.boards import Board
from qdeploy.devices.capacity import usable
from qdeploy.devices.fit import Fit

FF_PER_LUT = 2


@dataclass(frozen=True)
class Budget:
    """What a board has: slice LUTs with two flip-flops each, BRAM36, DSP blocks, and how many of
    the LUTs can be memory (all when None)."""

    lut: int
    bram36: int
    dsp: int
    lutram: int | None = None

    @staticmethod
    def of(board: Board) -> Budget:
        """All of a board."""
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

    def available(self) -> dict[str, float]:
        """Amounts by kind of resource, as `devices.capacity` names them."""
        return {
            "lut": self.lut,
            "lutram": self.lut if self.lutram is None else self.lutram,
            "ff": self.lut * FF_PER_LUT,
            "bram36": self.bram36,
            "dsp": self.dsp,
        }

    def limit(self, factor: float = 1.0) -> ResourceUsage:
        """The most a design may use by estimate, times `factor`."""
        has = self.available()
        share = {kind: usable(kind, estimated=True) for kind in has}
        return ResourceUsage(
            int(has["lut"] * share["lut"] * factor),
            int(has["ff"] * share["ff"] * factor),
            int(has["bram36"] * 2 * share["bram36"] * factor),
            int(has["dsp"] * share["dsp"] * factor),
            int(has["lutram"] * share["lutram"] * factor),
        )

    def fit(self, usage: ResourceUsage) -> Fit:
        """How an estimated usage compares with what is usable."""
        return Fit(usage.used(), self.available(), estimated=True)
