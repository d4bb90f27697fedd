"""Where a network has to go: a board, how much of it, how fast."""

from __future__ import annotations

from dataclasses import dataclass

from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.rates import cycles_for
from qdeploy.devices.boards import Board


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
        most = {"lut": self.max_lut, "bram36": self.max_bram36, "dsp": self.max_dsp}
        return Budget.of(self.board, most)

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
        return self.budget.limit()
