"""A build's design layer by layer: what each takes and does, and where the board's LUTs go.

Reads the files of a build folder, and nothing else.

    lanes       products per cycle: PE · SIMD
    efficiency  useful multiplications per frame / (lanes · cycles per frame of the whole design)
    limit       two-bit lanes that the usable LUTs of the board would hold at `LUT_PER_LANE` each
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdeploy.build_folder import (
    read_boards,
    read_build,
    read_classes,
    read_design,
    read_estimates,
    read_fifos,
    read_performance,
    read_resources,
    read_static_timing,
    read_summary,
    read_timing,
    read_verify,
)
from qdeploy.build_records import (
    BoardsRecord,
    BuildRecord,
    ClassesRecord,
    EstimatesRecord,
    FifosRecord,
    PerformanceRecord,
    ResourcesRecord,
    StaticTimingRecord,
    SummaryRecord,
    TimingRecord,
    VerifyRecord,
)
from qdeploy.design.manifest import Design, Layer
from qdeploy.devices.capacity import usable
from qdeploy.report.fifos import FifoRow, fifo_rows

# Measured for a lane of 2 by 2 bits with its share of the adder tree; 85 % of an xc7z020 (45,000
# LUTs) hold 3,900 of them.
LUT_PER_LANE = 11.6
OUTSIDE = "wiring and TLAST"
FIGURES = ("lut", "ff", "bram36", "dsp")


@dataclass(frozen=True)
class LayerRow:
    """One hardware layer.

    Args:
        part: of the design it is counted as.
        lanes, macs: products per cycle, and those that a frame needs; 0 where it has no weights.
        efficiency: None where it has no weights.
        used: figures of synthesis, empty where there was none.
        estimate, finn: estimated LUTs, BRAM36s and DSPs; empty where there are none.
    """

    name: str
    layer: str
    op: str
    part: str
    folding: Mapping[str, int]
    cycles: int
    lanes: int
    macs: int
    efficiency: float | None
    bottleneck: bool
    used: Mapping[str, float] = field(default_factory=dict)
    estimate: Mapping[str, float] = field(default_factory=dict)
    finn: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DesignReport:
    """Everything a report shows; the records are the build's own files, {} where absent.

    Args:
        cycles: per frame at steady state; `measured` in RTL simulation, else as expected.
        parts: LUTs by part of the design.
        lane_limit: two-bit lanes the board would hold; `lane_share` of what they would do in
            `cycles` is useful here. None without synthesis figures.
    """

    name: str
    board: str
    part: str
    clock_mhz: float
    cycles: int
    measured: bool
    layers: list[LayerRow]
    fifos: list[FifoRow]
    parts: dict[str, float]
    lane_limit: float | None
    lane_share: float | None
    performance: PerformanceRecord
    resources: ResourcesRecord
    verify: VerifyRecord
    boards: BoardsRecord
    build: BuildRecord
    summary: SummaryRecord
    timing: TimingRecord
    static_timing: StaticTimingRecord | None = None
    classes: ClassesRecord | None = None

    @property
    def bottleneck(self) -> LayerRow:
        """The slowest layer."""
        return next(row for row in self.layers if row.bottleneck)

    @property
    def fps(self) -> float:
        """Frames per second at the clock."""
        return self.clock_mhz * 1e6 / self.cycles


def read_report(folder: Path) -> DesignReport:
    """The report of the build in `folder`.

    Raises:
        UserError: it holds no complete design, or a file of it is damaged.
    """
    design = read_design(folder)
    performance = read_performance(folder) or PerformanceRecord()
    resources = read_resources(folder) or ResourcesRecord()
    verify = read_verify(folder) or VerifyRecord()
    build = read_build(folder) or BuildRecord()
    cycles = int(performance.get("cycles_per_frame", design.cycles_per_frame))
    layers = _layers(design, cycles, resources, read_estimates(folder) or EstimatesRecord())
    luts = resources.get("available", {}).get("lut")
    limit = luts * usable("lut") / LUT_PER_LANE if luts else None
    useful = sum(row.macs for row in layers)
    return DesignReport(
        name=design.name,
        board=design.board,
        part=design.part,
        clock_mhz=design.clock_mhz,
        cycles=cycles,
        measured="cycles_per_frame" in performance,
        layers=layers,
        fifos=fifo_rows(design, read_fifos(folder) or FifosRecord(), verify),
        parts=_parts(layers, resources),
        lane_limit=limit,
        lane_share=None if limit is None else useful / (cycles * limit),
        performance=performance,
        resources=resources,
        verify=verify,
        boards=read_boards(folder) or BoardsRecord(),
        build=build,
        summary=read_source_summary(build),
        timing=read_timing(folder) or TimingRecord(),
        static_timing=read_static_timing(folder),
        classes=read_classes(folder),
    )


def read_source_summary(build: BuildRecord) -> SummaryRecord:
    """The training run's summary, where the build came from one that is still there."""
    source = (build.get("options") or {}).get("source")
    if not isinstance(source, str) or not source:
        return SummaryRecord()
    return read_summary(Path(source)) or SummaryRecord()


def _layers(
    design: Design, cycles: int, resources: ResourcesRecord, estimates: EstimatesRecord
) -> list[LayerRow]:
    used: dict[str, Mapping[str, Any]] = {one["name"]: one for one in resources.get("layers", [])}
    guesses = estimates.get("layers", {})
    slowest = max(design.layers, key=lambda layer: layer.cycles).name
    rows = []
    for layer in design.layers:
        lanes = _lanes(layer)
        guess = guesses.get(layer.name, {})
        found = used.get(layer.name, {})
        rows.append(
            LayerRow(
                name=layer.name,
                layer=layer.layer,
                op=layer.op,
                part=layer.part or layer.op,
                folding=layer.folding,
                cycles=layer.cycles,
                lanes=lanes,
                macs=layer.macs,
                efficiency=layer.macs / (lanes * cycles) if lanes and layer.macs else None,
                bottleneck=layer.name == slowest,
                used={key: found[key] for key in FIGURES if key in found},
                estimate=guess.get("qdeploy") or {},
                finn=_of_finn(guess.get("finn") or {}),
            )
        )
    return rows


def _of_finn(figures: Mapping[str, float]) -> dict[str, float]:
    """FINN's figures; it has none of the LUTs of its RTL units, for which it says 0."""
    return {key: value for key, value in figures.items() if key != "lut" or value}


def _lanes(layer: Layer) -> int:
    return layer.folding["PE"] * layer.folding["SIMD"] if layer.macs else 0


def _parts(layers: list[LayerRow], resources: ResourcesRecord) -> dict[str, float]:
    """LUTs by part of the design, largest first; empty without synthesis figures."""
    if "layers" not in resources:
        return {}
    found: dict[str, float] = {OUTSIDE: resources.get("outside", {}).get("lut", 0)}
    for row in layers:
        found[row.part] = found.get(row.part, 0) + row.used.get("lut", 0)
    return dict(sorted(found.items(), key=lambda item: -item[1]))
