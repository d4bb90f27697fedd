"""How many trials a machine runs at once: its cores, and the memory that is free."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

# Of a worker that has loaded torch and Brevitas, before anything is known of its trials.
USUAL_MIB = 900.0
# Left to everything else on the machine.
RESERVED_MIB = 256.0
_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def most_jobs(threads: int) -> int:
    """Trials at once, each with its threads, so that no core has two of them."""
    return max(1, cores() // threads)


def free_mib() -> float:
    """Memory that can still be taken, of the machine and of the container that this runs in."""
    free = psutil.virtual_memory().available / 2**20
    try:
        most = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no limit
        return free
    return min(free, (most - used) / 2**20)
