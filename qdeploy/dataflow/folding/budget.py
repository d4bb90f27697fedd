"""How much of a board a folding may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil

from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.devices.boards import Board
from qdeploy.devices.capacity import usable
from qdeploy.devices.fit import FLAGS, Fit
from qdeploy.errors import UserError

FF_PER_LUT = 2


@dataclass(frozen=True)
class Budget:
    """What a board has: slice LUTs with two flip-flops each, BRAM36, DSP blocks, and how many of
    the LUTs can be memory (all when None).

    Args:
        most: kind of resource, of `lut`, `bram36` and `dsp` -> amount that a design may use, where
            that is less than what is usable of the board.
    """

    lut: int
    bram36: int
    dsp: int
    lutram: int | None = None
    most: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(board: Board, most: Mapping[str, int | None] | None = None) -> Budget:
        """All of a board, or as much of it as `most` allows; None allows all that is usable.

        Raises:
            UserError: the board has not as many.
        """
        has = board.resources
        whole = Budget(has.lut, int(has.bram36), has.dsp, has.lutram)
        asked = {kind: wanted for kind, wanted in (most or {}).items() if wanted is not None}
        limits = whole.limit().used()
        for kind, wanted in asked.items():
            amount, limit = getattr(has, kind), int(limits[kind])
            if not (kind == "lut") <= wanted <= limit:
                raise UserError(
                    f"a design cannot have {wanted:,} {kind.upper()}s of the `{board.name}`",
                    where=f"--max-{FLAGS[kind]}",
                    why=f"of its {amount:,g}, {limit:,} are usable by estimate",
                    do=f"give at most {limit:,}, or a share of up to {limit / amount:.0%}",
                )
        return replace(whole, most=asked)

    def without(self, reserved: Mapping[str, float]) -> Budget:
        """What is left without the reserved `lut`, `lutram`, `ff`, `bram36` and `dsp`."""
        lutram = None if self.lutram is None else self.lutram - ceil(reserved.get("lutram", 0))
        flops = ceil(reserved.get("ff", 0) / FF_PER_LUT)
        return Budget(
            self.lut - max(ceil(reserved.get("lut", 0)), flops),
            self.bram36 - ceil(reserved.get("bram36", 0)),
            self.dsp - ceil(reserved.get("dsp", 0)),
            lutram,
            {
                kind: most - ceil(reserved.get(kind, 0) * usable(kind, estimated=True))
                for kind, most in self.most.items()
            },
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
        limits = {
            kind: min(has * usable(kind, estimated=True), self.most.get(kind, has))
            for kind, has in self.available().items()
        }
        return ResourceUsage(
            int(limits["lut"] * factor),
            int(limits["ff"] * factor),
            int(limits["bram36"] * 2 * factor),
            int(limits["dsp"] * factor),
            int(limits["lutram"] * factor),
        )

    def fit(self, usage: ResourceUsage) -> Fit:
        """How an estimated usage compares with what is usable."""
        return Fit(usage.used(), self.available(), estimated=True, most=self.most)
