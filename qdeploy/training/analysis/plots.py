"""Plots of the figures, as PNG; several runs share the axes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qdeploy.artifacts import atomic_path
from qdeploy.training.run import PICTURES

Report = dict[str, Any]
MOST_NAMES = 60


@contextlib.contextmanager
def plotted(reports: Sequence[Report], folder: Path) -> Iterator[list[Path]]:
    """Draw `PICTURES`, which get their names in `folder` one after the other when the block ends:
    what is written in it is there together with them, or neither is.

    Yields:
        The paths that they will have.
    """
    draws = (_sqnr, _gain, _spectral, _flatness)
    paths = [folder / name for name in PICTURES]
    with contextlib.ExitStack() as parts:
        for path, draw in zip(paths, draws, strict=True):
            _write(reports, draw, parts.enter_context(atomic_path(path)))
        yield paths


def _write(
    reports: Sequence[Report], draw: Callable[[Axes, Sequence[Report]], None], path: Path
) -> None:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    draw(axes, reports)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
    figure.savefig(path, format="png", dpi=120)


def _sqnr(axes: Axes, reports: Sequence[Report]) -> None:
    _lines(axes, reports, "layers", "sqnr_db", "weights", "o-")
    if len(reports) == 1:
        activations = reports[0]["activations"]
        values = [row["sqnr_db"] for row in activations]
        spread = _spread(len(activations), len(reports[0]["layers"]))
        axes.plot(spread, _numbers(values), "s--", label="activations, from first to last")
    axes.set_ylabel("SQNR [dB]")


def _gain(axes: Axes, reports: Sequence[Report]) -> None:
    _lines(axes, reports, "activations", "gain_db", "noise gain to the output", "o-")
    axes.axhline(0.0, color="gray", linewidth=1)
    axes.set_ylabel("gain of the rounding error [dB]")


def _spectral(axes: Axes, reports: Sequence[Report]) -> None:
    _lines(axes, reports, "layers", "spectral_norm", "float weights", "o-")
    if len(reports) == 1:
        _lines(axes, reports, "layers", "spectral_norm_quantized", "quantized weights", "s--")
        key = "spectral_norm_with_batch_norm"
        _lines(axes, reports, "layers", key, "quantized, with batch norm", "^:")
    axes.axhline(1.0, color="gray", linewidth=1)
    axes.set_yscale("log")
    axes.set_ylabel("spectral norm")


def _flatness(axes: Axes, reports: Sequence[Report]) -> None:
    for report in reports:
        flat = report["flatness"]
        columns = list(zip(*flat["losses"], strict=True))
        mean = [sum(column) / len(column) for column in columns]
        (line,) = axes.plot(flat["alphas"], mean, "o-", label=report.get("label", report["name"]))
        low, high = [min(c) for c in columns], [max(c) for c in columns]
        axes.fill_between(flat["alphas"], low, high, color=line.get_color(), alpha=0.15)
    axes.set_xlabel("distance along filter-normalized directions")
    axes.set_ylabel("loss on training images")


def _lines(
    axes: Axes, reports: Sequence[Report], part: str, key: str, label: str, style: str
) -> None:
    for report in reports:
        values = _numbers([row[key] for row in report[part]])
        name = label if len(reports) == 1 else f"{report.get('label', report['name'])}: {label}"
        axes.plot(range(len(values)), values, style, label=name)
    names = [row["name"] for row in reports[0][part]]
    if all([row["name"] for row in report[part]] == names for report in reports):
        every = max(1, -(-len(names) // MOST_NAMES))
        axes.set_xticks(range(0, len(names), every), names[::every], rotation=90, fontsize=7)
    else:
        axes.set_xlabel("position in the network")


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _spread(count: int, positions: int) -> list[float]:
    return [index * max(0, positions - 1) / max(1, count - 1) for index in range(count)]
