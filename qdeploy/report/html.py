"""The HTML report of a build: one file that needs no other, plots as SVG and as lists of bars."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy.artifacts import write_text
from qdeploy.build_folder import (
    GRAPH_FILE,
    REPORT_FILE,
    has_c,
    has_design,
    read_design,
)
from qdeploy.devices.boards import load_board
from qdeploy.errors import BoardError
from qdeploy.ir.file import read_graph
from qdeploy.report.build_values import build_values
from qdeploy.report.c_report import read_c_report, write_c_report
from qdeploy.report.design_report import DesignReport, read_report
from qdeploy.report.differences import find_difference
from qdeploy.report.first_screen import cards_of, meters_of, verdict_of
from qdeploy.report.html_tables import (
    ESTIMATE_HEAD,
    LAYER_HEAD,
    board_rows,
    estimate_rows,
    layer_rows,
    risk_rows,
)
from qdeploy.report.network_picture import network_picture
from qdeploy.report.page import Bar, bars, fold, render_page, share
from qdeploy.report.roofline import roofline, roofline_svg, told
from qdeploy.report.summary import at_risk, placed

TEMPLATE = "report.html.j2"


def write_build_report(folder: Path) -> None:
    """Write the report of a build into its folder, if it has a design or C sources."""
    if has_design(folder):
        write_report(folder, read_report(folder))
    elif has_c(folder):
        write_c_report(folder, read_c_report(folder))


def write_report(folder: Path, report: DesignReport) -> Path:
    """Write `report.html` into the build folder; its path."""
    path = folder / REPORT_FILE
    write_text(path, render(folder, report))
    return path


def render(folder: Path, report: DesignReport) -> str:
    """The report as HTML, every text from a file escaped.

    Raises:
        UserError: a file of the build is damaged.
    """
    difference = find_difference(report.verify)
    meters = meters_of(report)
    main = [row for row in report.layers if row.lanes or row.bottleneck]
    fifos = [
        Bar(one.name, one.fill, f"{one.high_water:,} of {one.depth:,} words", full(one.fill))
        for one in report.fifos
        if one.fill is not None
    ]
    slowest = report.bottleneck.name
    graph = read_graph(folder / GRAPH_FILE) if (folder / GRAPH_FILE).is_file() else None
    values: dict[str, Any] = {
        **build_values(folder, report.verify, report.summary, report.build),
        "report": report,
        "verdict": verdict_of(report.verify, report.resources, difference),
        "cards": cards_of(report),
        "meters": meters,
        "resource_rows": [(m.title, m.used, m.has, share(m.share, 1)) for m in meters],
        "difference": difference,
        "picture": graph
        and network_picture(graph, read_design(folder), difference.boundary if difference else ""),
        "roof": _roof(folder, report),
        "placed": placed,
        "at_risk": at_risk(report.static_timing) if report.static_timing else None,
        "risk_head": ("longest path of", "from", "to", "routed nets", "MHz, estimated"),
        "risk_rows": risk_rows(report.static_timing),
        "cycles": bars(
            [
                (r.name, r.cycles, "bottleneck" if r.name == slowest else "")
                for r in report.layers
                if r.cycles
            ]
        ),
        "luts": bars([(r.name, r.used["lut"], "") for r in report.layers if r.used.get("lut")]),
        "parts": bars([(name, luts, "") for name, luts in report.parts.items()]),
        "fifos": fold(fifos),
        "layer_head": LAYER_HEAD,
        "main_rows": layer_rows(main),
        "slow": [at for at, row in enumerate(main) if row.bottleneck],
        "layer_rows": layer_rows(report.layers),
        "estimate_head": ESTIMATE_HEAD,
        "estimate_rows": estimate_rows(report.layers),
        "board_rows": board_rows(report.boards),
    }
    return render_page(TEMPLATE, values)


def full(fill: float) -> str:
    """The mark of a FIFO that was full."""
    return "full" if fill >= 1 else ""


@dataclass(frozen=True)
class _Roof:
    svg: str
    told: str


def _roof(folder: Path, report: DesignReport) -> _Roof | None:
    """The design against its board, None where the board or synthesis is missing."""
    design = read_design(folder)
    try:
        dma = load_board(design.board).dma_bits
    except BoardError:  # a board of one's own, whose file need not be here any more
        dma = None
    found = roofline(
        sum(row.macs for row in report.layers),
        sum(row.lanes for row in report.layers),
        report.lane_limit,
        report.cycles,
        report.clock_mhz,
        (design.input, design.output),
        dma,
    )
    return None if found is None else _Roof(roofline_svg(found), told(found))
