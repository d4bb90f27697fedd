"""The figure of a sweep: what each variant gains against what it takes, and the Pareto front."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from qdeploy.artifacts import atomic_path
from qdeploy.search.sweep_report import GAINS, SweepReport

FORMATS = (".svg", ".png")
# Colours that people with red-green blindness tell apart (Okabe and Ito 2008).
_FITS, _TOO_LARGE, _FRONT = "#0072b2", "#d55e00", "#009e73"


def write_figure(report: SweepReport, title: str, path: Path) -> None:
    """Draw the variants that have an estimate; the same sweep gives the same bytes.

    Args:
        path: ends in one of `FORMATS`.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    scale = 100 if report.gain == "accuracy" else 1
    places: dict[int, tuple[float, float]] = {}
    for number, point in enumerate(report.points):
        gained = report.gained(number)
        if point.estimate is not None and gained is not None:
            places[number] = (100 * point.tightest[1], scale * gained)
    for fits, colour, marker, label in (
        (True, _FITS, "o", "fits"),
        (False, _TOO_LARGE, "x", "does not fit"),
    ):
        some = [place for number, place in places.items() if report.points[number].fits == fits]
        if some:
            axes.plot(*zip(*some, strict=True), marker, color=colour, label=label)
    if report.front:
        line = [places[number] for number in report.front]
        axes.plot(*zip(*line, strict=True), "-", color=_FRONT, zorder=1, label="Pareto front")
    middle = sum(axes.get_xlim()) / 2
    for number, place in places.items():
        left = place[0] > middle  # of the point, where the figure ends on its right
        axes.annotate(
            report.points[number].variant.label,
            place,
            xytext=(-5 if left else 5, 4),
            textcoords="offset points",
            horizontalalignment="right" if left else "left",
            fontsize=7,
        )
    axes.axvline(100, color="gray", linewidth=1, linestyle="--", label="limit")
    axes.set_xlabel("share of the limit, of the resource that is used most")
    axes.xaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set_ylabel(GAINS[report.gain])
    if report.gain == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter())
    elif places:
        axes.set_yscale("log")
    axes.set_title(title, fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    kind = path.suffix.removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with (
        atomic_path(path) as part,
        mpl.rc_context({"svg.hashsalt": "qdeploy", "svg.fonttype": "none"}),
    ):
        figure.savefig(part, format=kind, dpi=120, metadata=metadata)
