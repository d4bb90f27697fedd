"""Memory that is freed stays with the process during a training, and goes back afterwards."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

FRESH = """
import resource
import torch
from qdeploy.training.allocator import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(12 << 20).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() >> 20

first = faults()
with freed_memory_kept():
    faults()
    inside = faults()
    held = [torch.ones(1 << 20) for _ in range(64)]
    full = resident()
    del held
    kept = resident()
print(first, inside, full, kept, resident())
"""


def test_freed_memory_is_used_again_and_given_back_at_the_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FRESH], capture_output=True, text=True, check=True, timeout=120
    )
    first, inside, full, kept, after = map(int, done.stdout.split())
    if platform.libc_ver()[0] != "glibc":
        return  # another C library: the training has run all the same
    pages = 20 * (48 << 20) // resource.getpagesize()
    assert first > pages // 2  # each turn maps its memory anew
    assert inside < pages // 100
    assert kept >= full - 16 and after < full - 200
