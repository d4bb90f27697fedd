"""Cycles measured in the RTL simulation, as `performance.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.artifacts import write_json
from qdeploy.build_folder import (
    PERFORMANCE_FILE,
    read_performance,
)
from qdeploy.build_records import (
    PerformanceRecord,
)
from qdeploy.design.manifest import Design
from qdeploy.verify.results import RungResult

if TYPE_CHECKING:
    from qdeploy.sim.design import DesignResult


ASSUMED = "assumed: only place and route for the board's own part says whether it is met"


@dataclass(frozen=True)
class Performance:
    """What the design reaches, without stalls.

    Args:
        clock_mhz: the clock requested; timing is met only when place and route says so.
        cycles_per_frame: at steady state, between the ends of consecutive frames.
        latency_cycles: from a frame's first input beat to its last output beat.
        fps: clock over cycles per frame.
        source: where the cycles come from.
        expected_cycles_per_frame: the slowest layer's, before simulation.
        bottleneck: that layer.
        clock: what `clock_mhz` rests on.
    """

    clock_mhz: float
    cycles_per_frame: int
    latency_cycles: int
    fps: float
    source: str
    expected_cycles_per_frame: int
    bottleneck: str
    clock: str = ASSUMED


def measure(design: Design, result: DesignResult, frames: int) -> Performance:
    """Performance from an unstalled run of `frames` frames back to back."""
    cycles = int(result.cycles_per_frame)
    slowest = max(design.layers, key=lambda layer: layer.cycles)
    return Performance(
        clock_mhz=design.clock_mhz,
        cycles_per_frame=cycles,
        latency_cycles=int(result.latency_cycles),
        fps=design.clock_mhz * 1e6 / cycles,
        source=f"RTL simulation of the stitched design in Verilator, {frames} frames back to back",
        expected_cycles_per_frame=design.cycles_per_frame,
        bottleneck=slowest.name,
    )


def write_performance(folder: Path, performance: Performance) -> None:
    """Write `performance.json` into the build folder."""
    write_json(folder / PERFORMANCE_FILE, asdict(performance))


def read_cycles(folder: Path) -> int | None:
    """Measured cycles per frame of a build, None when its RTL was not simulated."""
    record = read_performance(folder)
    return None if record is None else int(record["cycles_per_frame"])


def read_latency(folder: Path) -> int | None:
    """Measured latency in cycles of a build, None when its RTL was not simulated."""
    record = read_performance(folder)
    return None if record is None or "latency_cycles" not in record else record["latency_cycles"]


def difference(recorded: PerformanceRecord, rtl: RungResult) -> str | None:
    """What the rtl rung measured otherwise than the build with as many frames, in one sentence.

    How long a design takes does not depend on the codes or on the machine.
    """
    for key, title in (
        ("cycles_per_frame", "cycles per frame"),
        ("latency_cycles", "cycles latency"),
    ):
        if key in rtl.details and recorded.get(key) != rtl.details[key]:
            return (
                f"{rtl.details[key]:,} {title}, where `{PERFORMANCE_FILE}` says {recorded.get(key)}"
            )
    return None
