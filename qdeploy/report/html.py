"""The HTML report of a build: one file that needs no other, plots as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qdeploy.artifacts import write_text
from qdeploy.bounded import MAX_YAML_BYTES
from qdeploy.build_folder import RECIPE_FILE, REPORT_FILE, has_design
from qdeploy.report.classes import sentence
from qdeploy.report.design_report import DesignReport, LayerRow, read_report
from qdeploy.report.summary import at_risk, coverage_kinds, covered_share, placed, verdict
from qdeploy.resources import resource

TEMPLATE = "export/report/report.html.j2"


@dataclass(frozen=True)
class Bar:
    """One bar of a plot: `share` of the longest in [0, 1], `text` beside it."""

    name: str
    share: float
    text: str
    marked: bool = False


def write_build_report(folder: Path) -> None:
    """Write the report of a build into its folder, if it has a design."""
    if has_design(folder):
        write_report(folder, read_report(folder))


def write_report(folder: Path, report: DesignReport) -> Path:
    """Write `report.html` into the build folder; its path."""
    path = folder / REPORT_FILE
    write_text(path, render(folder, report))
    return path


def render(folder: Path, report: DesignReport) -> str:
    """The report as HTML, every text from a file escaped."""
    import jinja2

    # What a file of the build does not say is left out: an undefined value is false, not an error.
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resource(TEMPLATE).read_text(encoding="utf-8"))
    recipe = folder / RECIPE_FILE
    return template.render(
        report=report,
        verdict=verdict,
        placed=placed,
        at_risk=at_risk,
        coverage_kinds=coverage_kinds,
        covered_share=covered_share,
        class_sentence=sentence,
        cycles=_bars([(r.name, r.cycles, r.bottleneck) for r in report.layers if r.cycles]),
        luts=_bars([(r.name, r.used.get("lut", 0), False) for r in _by_luts(report)]),
        parts=_bars([(name, luts, False) for name, luts in report.parts.items()]),
        fifos=[
            Bar(f.name, f.fill, f"{f.high_water:,} of {f.depth:,} words", f.fill >= 1)
            for f in report.fifos
            if f.fill is not None
        ],
        recipe=_shown(recipe) if recipe.is_file() else "",
    )


def _shown(recipe: Path) -> str:
    """The recipe's text; no more of it than a recipe has."""
    with recipe.open("rb") as file:
        return file.read(MAX_YAML_BYTES).decode("utf-8", errors="replace")


def _by_luts(report: DesignReport) -> list[LayerRow]:
    return [row for row in report.layers if row.used.get("lut")]


def _bars(rows: Sequence[tuple[str, float, bool]]) -> list[Bar]:
    longest = max((value for _, value, _ in rows), default=0) or 1
    return [Bar(name, value / longest, f"{value:,g}", marked) for name, value, marked in rows]
