"""The tables of a build's HTML report: titles and rows of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qdeploy.build_records import (
    BoardsRecord,
    BuildRecord,
    EpochRecord,
    PhaseRecord,
    StaticTimingRecord,
    VerifyRecord,
)
from qdeploy.design.manifest import PIXELS
from qdeploy.figures import FIGURES, shown
from qdeploy.report.design_report import LayerRow
from qdeploy.report.page import grouped, number
from qdeploy.report.summary import coverage_kinds, covered_share, verdict

LAYER_HEAD = (
    *("layer", "operator", "PE", "SIMD", "cycles", "lanes", "efficiency"),
    *("LUT", "FF", "BRAM36", "DSP"),
)
ESTIMATE_HEAD = (
    *("layer", "LUT", "LUT, estimate", "LUT, FINN"),
    *("BRAM36", "BRAM36, estimate", "BRAM36, FINN", "DSP", "DSP, estimate", "DSP, FINN"),
)


def layer_rows(layers: Sequence[LayerRow]) -> list[list[str]]:
    """Rows of `LAYER_HEAD`."""
    rows = []
    for row in layers:
        pixels = f", M {row.folding[PIXELS]}" if PIXELS in row.folding else ""
        rows.append(
            [
                row.name,
                row.op + pixels,
                *(str(row.folding.get(key, "")) for key in ("PE", "SIMD")),
                f"{row.cycles:,}",
                f"{row.lanes:,}" if row.lanes else "",
                "" if row.efficiency is None else f"{row.efficiency:.0%}",
                *(number(row.used.get(key)) for key in ("lut", "ff", "bram36", "dsp")),
            ]
        )
    return rows


def estimate_rows(layers: Sequence[LayerRow]) -> list[list[str]]:
    """Rows of `ESTIMATE_HEAD`, of the layers with an estimate."""
    return [
        [
            row.name,
            *(
                number(figures.get(key))
                for key in ("lut", "bram36", "dsp")
                for figures in (row.used, row.estimate, row.finn)
            ),
        ]
        for row in layers
        if row.estimate or row.finn
    ]


def rung_table(verify: VerifyRecord) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of the ladder, with the coverage by kinds of faults."""
    rungs = verify.get("rungs", [])
    kinds = coverage_kinds(rungs)
    head = ["rung", "frames", "boundaries", "codes", "mismatches", "verdict", *kinds]
    rows = []
    for rung in rungs:
        if rung.get("skipped"):
            rows.append([rung["name"], *[""] * 4, "skipped", *[""] * len(kinds)])
            continue
        figures = [number(dict(rung).get(key)) for key in head[1:5]]
        shares = [covered_share(rung, kind) for kind in kinds]
        rows.append([rung["name"], *figures, verdict(rung), *shares])
    return head, rows


def rung_notes(verify: VerifyRecord) -> list[str]:
    """What rungs say besides their figures: why one was skipped or refused, and notes."""
    found = []
    for rung in verify.get("rungs", []):
        skipped = rung.get("skipped")
        text = f"skipped: {skipped}" if skipped else rung.get("refused") or rung.get("note")
        if text:
            found.append(f"{rung['name']}: {text}")
    return found


def accuracy_table(
    phases: Sequence[PhaseRecord], build: BuildRecord | None = None
) -> tuple[list[str], list[list[str]]]:
    """Figures of the test set by phase of the training, and of the integers of a build."""
    of_build = {key.removesuffix("_int"): value for key, value in dict(build or {}).items()}
    all_of = [*(dict(phase) for phase in phases), of_build]
    keys = [key for key in FIGURES if any(_is_figure(one.get(key)) for one in all_of)]
    rows = [[phase.get("name", ""), *_figures(dict(phase), keys)] for phase in phases]
    if any(_is_figure(of_build.get(key)) for key in keys):
        rows.append(["integer network", *_figures(of_build, keys)])
    return ["phase", *(FIGURES[key] for key in keys)], rows


def phases_of(log: Sequence[EpochRecord]) -> list[PhaseRecord]:
    """What the last row of each phase says, where there is no summary."""
    last: dict[int, EpochRecord] = {row.get("phase_index", 0): row for row in log}
    return [
        PhaseRecord(
            name=row.get("phase", ""),
            kind=row.get("kind", ""),
            epochs=row.get("epoch", 0),
            accuracy=row.get("accuracy"),
            miou=row.get("miou"),
            r2=row.get("r2"),
            mae=row.get("mae"),
        )
        for row in last.values()
    ]


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _figures(record: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [shown(key, record[key]) if _is_figure(record.get(key)) else "-" for key in keys]


def board_rows(boards: BoardsRecord) -> list[list[str]]:
    """What larger boards would give."""
    return [
        [
            one["board"],
            f"{one['clock_mhz']:g}",
            number(one["cycles_per_frame"]),
            grouped(one["fps"]),
            *(number(dict(one).get(key)) for key in ("lut", "bram36", "dsp")),
            "input" if one["dma_bound"] else "",
        ]
        for one in boards.get("boards", [])
    ]


def risk_rows(timing: StaticTimingRecord | None) -> list[list[str]]:
    """The paths most at risk, the slowest first; none without estimates."""
    return [
        [
            one["name"],
            one["path_from"],
            one["path_to"],
            number(one["hops"]),
            f"{one['fmax_mhz']:.0f}",
        ]
        for one in (timing["paths"][:8] if timing else [])
    ]


def made_rows(build: BuildRecord) -> list[list[str]]:
    """Versions, revision and options."""
    rows = [[name, version] for name, version in (build.get("versions") or {}).items()]
    if build.get("git"):
        rows.append(["git revision", str(build.get("git"))])
    options = build.get("options") or {}
    rows += [[f"option {key}", str(value)] for key, value in options.items() if value is not None]
    return rows
