"""Which process of a data-parallel training this one is, as its launcher tells it."""

from __future__ import annotations

from collections.abc import Mapping
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

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Launch:
        """The process that an environment tells, by the variables that torchrun sets."""
        rank, world, local_rank = (
            int(environment.get(name, usual))
            for name, usual in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
        )
        return cls(rank, world, local_rank)

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0


SINGLE = Launch()
