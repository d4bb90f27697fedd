"""A sweep as a table: what each variant would take, why some are none, which ones nothing beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qdeploy.devices.capacity import TITLES
from qdeploy.report.tables import print_table
from qdeploy.search.sweep_report import GAINS, SweepReport

if TYPE_CHECKING:
    from rich.console import Console

    from qdeploy.search.sweep import Point

KINDS = {"lut": "LUT", "bram36": "BRAM36", "dsp": "DSP"}


def print_sweep(report: SweepReport, title: str, console: Console) -> None:
    """Print the table, why some variants are none, and which ones nothing beats."""
    keys = list(report.points[0].variant.settings)
    trained = any(report.trained)
    head = [*keys, "weights", "frames/s", *KINDS.values(), "most of limit"]
    head += [*["accuracy"] * trained, "fits", "front"]
    rows = []
    for number, (point, runs) in enumerate(zip(report.points, report.trained, strict=True)):
        row = [str(value) for value in point.variant.settings.values()]
        row.append("-" if point.weights is None else f"{point.weights:,}")
        if point.estimate is None:
            row += ["-"] * (2 + len(KINDS))
        else:
            used, (kind, share) = point.estimate.usage.used(), point.tightest
            row.append(f"{point.estimate.fps:,.0f}")
            row += [f"{used[one]:,g}" for one in KINDS]
            row.append(f"{share:.0%} {TITLES[kind]}")
        if trained:
            row.append("-" if runs is None else f"{runs.accuracy:.2%}" + _times(len(runs.runs)))
        row += ["yes" if point.fits else "NO", "*" if number in report.front else ""]
        rows.append(row)
    right = range(len(keys), len(head) - 2)
    print_table(title, head, rows, right=right, console=console)
    for line in (*_refusals(report.points), *_conclusion(report)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _times(count: int) -> str:
    return f" ({count} runs)" if count > 1 else ""


def _refusals(points: Sequence[Point]) -> list[str]:
    lines = []
    for point in points:
        if point.refusal is not None:
            parts = [point.refusal.what, point.refusal.why]
            lines.append(f"{point.variant.label}: {'; '.join(filter(None, parts))}")
        elif point.estimate is not None and not point.fits:
            lines.append(f"{point.variant.label}: {point.estimate.excess}")
    return lines


def _conclusion(report: SweepReport) -> list[str]:
    fitting = sum(point.fits for point in report.points)
    rate = "" if report.room.fps is None else f" at {report.room.fps:,g} frames/s"
    lines = [f"{fitting} of {len(report.points)} variants fit{rate}, by estimate."]
    if report.front:
        lines.append(
            f"* Pareto front: no variant that fits has more {GAINS[report.gain]} at a smaller "
            "share of the limit."
        )
    return lines
