"""Which process of a data-parallel training this one is, as its launcher tells it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """One of `world` processes.

    Where the others are, torch reads itself, from the variables MASTER_ADDR and MASTER_PORT.

    Args:
        rank: of all processes, 0 .. world - 1; the first one writes and reports.
        world: number of processes.
        local_rank: among the processes of this machine, which is the number of its GPU.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0


SINGLE = Launch()
