"""Frames per second, measured part by part: which of them the whole is limited by."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .accelerator import Accelerator

# Bytes of random frames at most: a larger request uses the same ones over and over.
MAX_BYTES = 1 << 26


def measure(accelerator: Accelerator, frames: int, repeat: int) -> dict[str, Any]:
    """See `Accelerator.throughput`."""
    if frames < 1 or repeat < 1:
        raise ValueError("at least one frame, and one run")
    generator = np.random.default_rng(0)
    shape = accelerator.layout.data_shape
    low, high = accelerator.layout.raw_range
    kind = np.uint8 if low >= 0 and high <= 255 else np.int32
    most = max(1, MAX_BYTES // (int(np.prod(shape)) * np.dtype(kind).itemsize))
    batch = generator.integers(low, high + 1, size=(min(frames, most), *shape), dtype=kind)
    if len(batch) < frames:
        batch = batch[np.arange(frames) % len(batch)]
    runs = []
    for _ in range(repeat):
        started = time.perf_counter()
        accelerator.infer_codes(batch)
        runs.append({**accelerator.last, "whole": time.perf_counter() - started})

    def best(name: str) -> float:
        return max(min(run[name] for run in runs), 1e-12)

    cycles = best("cycles")
    rates = {
        "fps_hardware": frames * accelerator.clock_mhz * 1e6 / cycles,
        "fps_transfer": frames / best("transfer_seconds"),
        "fps_packing": frames
        / max(min(r["pack_seconds"] + r["unpack_seconds"] for r in runs), 1e-12),
    }
    slowest = min(rates, key=lambda name: rates[name])
    return {
        "frames": frames,
        "clock_mhz": accelerator.clock_mhz,
        "fps": frames / best("whole"),
        **rates,
        "limited_by": slowest[len("fps_") :],
        "cycles_per_frame": cycles / frames,
        "packing": accelerator.layout.packing,
    }
