"""Where a network has to go: a board, how much of it, how fast."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.rates import cycles_for
from qdeploy.devices.boards import Board
from qdeploy.devices.capacity import usable
from qdeploy.errors import UserError


@dataclass(frozen=True)
class Room:
    """Where the network has to go.

    Args:
        board: and its part.
        max_lut: LUTs of the design at most, by estimate; what is usable of the part when None.
        max_dsp: likewise of DSP blocks, which take over products of more than 3 bits.
        max_bram36: likewise of block RAMs.
        fps: frames per second; as fast as the recipe's own widths fit when None.
        clock_mhz: the board's when None.
        widest_beat: as in `fold`.
    """

    board: Board
    max_lut: int | None = None
    max_dsp: int | None = None
    fps: float | None = None
    clock_mhz: float | None = None
    widest_beat: int | None = None
    max_bram36: int | None = None

    @property
    def clock(self) -> float:
        """In MHz."""
        return self.board.clock_mhz if self.clock_mhz is None else self.clock_mhz

    @property
    def budget(self) -> Budget:
        """For the folding.

        Raises:
            UserError: there are not as many.
        """
        budget = Budget.of(self.board)
        most_of = budget.limit().used()
        asked = {"lut": self.max_lut, "dsp": self.max_dsp, "bram36": self.max_bram36}
        for kind, wanted in asked.items():
            if wanted is None:
                continue
            has, most = getattr(budget, kind), int(most_of[kind])
            if not (kind == "lut") <= wanted <= most:
                raise UserError(
                    f"a design cannot have {wanted:,} {kind.upper()}s of the `{self.board.name}`",
                    where=f"--max-{kind.removesuffix('36')}",
                    why=f"of its {has:,}, {most:,} are usable by estimate",
                    do=f"give at most {most:,}, or a share of up to {most / has:.0%}",
                )
            share = usable(kind, estimated=True)
            budget = replace(budget, **{kind: ceil(wanted / share)})
        return budget

    def check(self) -> None:
        """Refuse what no network could have there.

        Raises:
            UserError: there are not as many LUTs or DSP blocks.
            FoldingError: the rate is not a positive number, or above one frame per cycle.
        """
        _ = self.limit
        if self.fps is not None:
            cycles_for(self.fps, self.clock)

    @property
    def limit(self) -> ResourceUsage:
        """The most that a design may use by estimate."""
        limit = self.budget.limit()
        lut = limit.lut if self.max_lut is None else self.max_lut
        bram18 = limit.bram18 if self.max_bram36 is None else 2 * self.max_bram36
        dsp = limit.dsp if self.max_dsp is None else self.max_dsp
        return replace(limit, lut=lut, dsp=dsp, bram18=bram18)
