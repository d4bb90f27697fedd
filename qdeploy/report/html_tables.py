"""The tables of a build's HTML report: titles and rows of words."""

from __future__ import annotations

from collections.abc import Sequence

from qdeploy.build_records import BoardsRecord, BuildRecord, StaticTimingRecord, VerifyRecord
from qdeploy.design.manifest import PIXELS
from qdeploy.report.design_report import DesignReport, LayerRow
from qdeploy.report.page import grouped, number, percent
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


def accuracy_table(report: DesignReport) -> tuple[list[str], list[list[str]]]:
    """Accuracies by phase of the training, and of the integers."""
    pixels = isinstance(report.build.get("miou_int"), float)
    keys = ("accuracy", "miou") if pixels else ("accuracy",)
    rows = [
        [phase.get("name", ""), *(percent(dict(phase).get(key)) for key in keys)]
        for phase in report.summary.get("phases", [])
    ]
    if report.build.get("accuracy_int") is not None:
        figures = dict(report.build)
        rows.append(["integer network", *(percent(figures.get(f"{key}_int")) for key in keys)])
    return ["phase", "accuracy", *(["mIoU"] if pixels else [])], rows


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
