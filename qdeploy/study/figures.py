"""Figures of studies: the papers' points beside ours, spreads over seeds, labelled axes.

Colours and markers differ together, so that they are told apart in any colour vision and in print
(Okabe and Ito 2008). The same results give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from qdeploy.artifacts import atomic_path
from qdeploy.search.sweep import front
from qdeploy.study.claims import phase_of
from qdeploy.study.files import MEASURES, Front, LearningRates, Lines, Maps
from qdeploy.study.plane import errors
from qdeploy.study.results import Results
from qdeploy.training.schedules import learning_rate

_COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_PAPER = "paper"
_ANCHOR = "anchor"
_DPI = 110
# Classes of the plane, and what lies outside of all areas.
_CLASSES = ListedColormap(["#0072b2", "#f0e442"])


def draw(results: Results, name: str, path: Path) -> bool:
    """Write the figure `name` of a study as PNG; False where there is nothing to draw yet."""
    wanted = results.opened.study.figures[name]
    if isinstance(wanted, LearningRates):
        figure: Figure | None = _learning_rates(results, wanted, name)
    elif isinstance(wanted, Maps):
        figure = _maps(results, wanted)
    elif isinstance(wanted, Front):
        figure = _front(results, wanted)
    else:
        figure = _lines(results, wanted)
    if figure is None:
        return False
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=_DPI, metadata={"Software": None})
    return True


def _lines(results: Results, wanted: Lines) -> Figure | None:
    names = _chosen(wanted.networks, results.names)
    variants = _chosen(wanted.variants, results.variants)
    series = list(dict.fromkeys(results.networks[name].series for name in names))
    panels = []
    for one in series:
        members = [name for name in names if results.networks[name].series == one]
        known = [n for n in members if any(_has(results, wanted, n, v) for v in variants)]
        if known:
            panels.append((one, known))
    if not panels:
        return None
    figure = Figure(figsize=(max(6.4, 4.2 * len(panels)), 4.6), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, members) in zip(grid, panels, strict=True):
        for number, variant in enumerate(variants):
            _line(axes, results, wanted, members, variant, number)
        axes.set_xlabel(wanted.x_label or MEASURES.get(wanted.x, wanted.x))
        if wanted.log_x:
            axes.set_xscale("log")
        if title:
            axes.set_title(title, fontsize="medium")
        axes.grid(alpha=0.3)
    label = MEASURES[wanted.y]
    grid[0].set_ylabel(f"{label}, minus {results.label(wanted.minus)}" if wanted.minus else label)
    grid[-1].legend(fontsize="small")
    figure.suptitle(wanted.title, fontsize="medium")
    return figure


def _has(results: Results, wanted: Lines, network: str, variant: str) -> bool:
    return bool(results.by_seed(network, variant, wanted.y, wanted.minus))


def _line(
    axes: Axes, results: Results, wanted: Lines, members: Sequence[str], variant: str, number: int
) -> None:
    """Ours with the standard deviation over seeds, and the paper's as open markers."""
    if variant == wanted.minus:
        return
    style: dict[str, Any] = {"color": _COLOURS[number % 7], "marker": _MARKERS[number % 7]}
    ours, paper = [], []
    for name in members:
        x = results.along(name, wanted.x)
        found = results.spread(name, variant, wanted.y, wanted.minus)
        if x is not None and found is not None:
            ours.append((x, found.mean, found.deviation or 0.0))
        stated = results.facts.get(name, variant, wanted.y)
        if x is not None and stated is not None and not wanted.minus:
            paper.append((x, stated))
    if ours:
        x_values, means, deviations = zip(*sorted(ours), strict=True)
        axes.errorbar(x_values, means, deviations, capsize=3, label=results.label(variant), **style)
    if paper:
        label = f"{results.label(variant)}, {_PAPER}"
        axes.plot(*zip(*sorted(paper), strict=True), ":", mfc="none", label=label, **style)


def _maps(results: Results, wanted: Maps) -> Figure | None:
    names = _chosen(wanted.networks, results.names)
    variants = _chosen(wanted.variants, results.variants)
    planes = {(n, v): results.plane(n, v) for n in names for v in variants}
    if all(plane is None for plane in planes.values()):
        return None
    columns = 1 + len(names)
    figure = Figure(figsize=(1.65 * columns, 1.9 * len(variants) + 0.4), layout="constrained")
    grid = figure.subplots(len(variants), columns, squeeze=False)
    outside = results.labels < 0
    for row, variant in enumerate(variants):
        for column, name in enumerate(["areas", *names]):
            axes = grid[row][column]
            axes.set_xticks([])
            axes.set_yticks([])
            plane = results.labels == 1 if column == 0 else planes[name, variant]
            if plane is None:
                axes.text(0.5, 0.5, "not there", ha="center", transform=axes.transAxes, fontsize=7)
                continue
            hidden = outside if column == 0 else np.zeros_like(outside)
            shown = np.ma.masked_array(plane.astype(float), hidden)
            axes.imshow(shown, cmap=_CLASSES, vmin=0, vmax=1, interpolation="nearest")
            found = errors(plane, results.labels)
            axes.set_xlabel(
                f"dist. {found.distortion:.1%}, noise {found.noise:.1%}", fontsize=6, labelpad=2
            )
            if row == 0:
                axes.set_title(name, fontsize=8)
        grid[row][0].set_ylabel(results.label(variant), fontsize=7)
    figure.suptitle(f"{wanted.title}; 0 < x < 1, -1 < y < 0", fontsize="small")
    return figure


def _front(results: Results, wanted: Front) -> Figure | None:
    names = _chosen(wanted.networks, results.names)
    names = [n for n in names if wanted.series in ("", results.networks[n].series)]
    variants = _chosen(wanted.variants, results.variants)
    points: list[tuple[float, float, str]] = []
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for number, variant in enumerate(variants):
        style: dict[str, Any] = {
            "color": _COLOURS[(number + 1) % 7],
            "marker": _MARKERS[number % 7],
        }
        here = []
        for name in names:
            x, y = results.spread(name, variant, wanted.x), results.spread(name, variant, wanted.y)
            if x is not None and y is not None:
                here.append((x.mean, y.mean, y.deviation or 0.0, name))
        if here:
            a, b, deviation, _ = zip(*here, strict=True)
            axes.errorbar(
                a, b, deviation, linestyle="", capsize=3, label=results.label(variant), **style
            )
            points += [(left, up, name) for left, up, _, name in here]
    if not points:
        return None
    sign = -1 if wanted.more_x else 1
    best = [points[i] for i in front([(sign * x, y) for x, y, _ in points])]
    axes.plot([p[0] for p in best], [p[1] for p in best], "-", color="#009e73", label="front")
    for left, up, name in points:
        axes.annotate(name, (left, up), xytext=(4, 4), textcoords="offset points", fontsize=6)
    _anchors(axes, results, wanted)
    axes.set_xscale("log")
    axes.set_xlabel(MEASURES[wanted.x])
    axes.set_ylabel(MEASURES[wanted.y])
    axes.set_title(wanted.title, fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure


def _anchors(axes: Axes, results: Results, wanted: Front) -> None:
    """Others' systems, which the facts name as networks of the variant `anchor SERIES`."""
    variant = f"{_ANCHOR} {wanted.series}".strip()
    stated = [name for name, one, _ in results.facts.values if one == variant]
    found = []
    for name in dict.fromkeys(stated):
        x, y = (results.facts.get(name, variant, m) for m in (wanted.x, wanted.y))
        if x is not None and y is not None:
            found.append((x, y, name))
    if found:
        axes.plot([p[0] for p in found], [p[1] for p in found], "k*", label="others (see facts)")
        for x, y, name in found:
            axes.annotate(name, (x, y), xytext=(4, -9), textcoords="offset points", fontsize=6)


def _learning_rates(results: Results, wanted: LearningRates, name: str) -> Figure:
    phase = phase_of(results.opened, wanted.recipe, wanted.phase, f"figures.{name}.phase")
    steps = np.arange(phase.epochs * wanted.steps_per_epoch)
    rates = [learning_rate(phase, int(s), wanted.steps_per_epoch, phase.epochs) for s in steps]
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.step(steps / wanted.steps_per_epoch, rates, where="post", color="#0072b2")
    axes.set_yscale("log")
    axes.set_xlabel(f"epoch of the phase `{wanted.phase}`")
    axes.set_ylabel("learning rate")
    axes.set_title(wanted.title, fontsize="medium")
    axes.grid(alpha=0.3, which="both")
    return figure


def _chosen(some: Sequence[str] | None, there: Sequence[str]) -> list[str]:
    return [one for one in there if some is None or one in some]
