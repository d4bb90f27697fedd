"""Training curves: what was measured after each epoch, phase after phase, as small line plots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from qdeploy.build_records import EpochRecord

# The plot, in units of the picture; on a telephone one unit is a CSS pixel.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 340, 200, 46, 12, 26, 30
_MOST_LABELS = 6
# Of a plot: title, its keys with their names, and how its values are written; a plot has those of
# its curves that some epoch has.
_PLOTS: tuple[tuple[str, dict[str, str], str], ...] = (
    (
        "Accuracy",
        {"train_accuracy": "training", "validation_accuracy": "validation", "accuracy": "test"},
        "percent",
    ),
    (
        "Mean intersection over union",
        {"train_miou": "training", "validation_miou": "validation", "miou": "test"},
        "percent",
    ),
    (
        "R², the share of the variance explained",
        {"train_r2": "training", "validation_r2": "validation", "r2": "test"},
        "",
    ),
    (
        "Mean absolute error",
        {"train_mae": "training", "validation_mae": "validation", "mae": "test"},
        "log",
    ),
    ("Loss", {"loss": "training"}, "log"),
    ("Learning rate", {"lr": "last step"}, "log"),
    ("L_Lip, the Lipschitz term", {"lipschitz": "weights"}, "log"),
)


@dataclass(frozen=True)
class Curve:
    """One line: its name, and (epoch, value) from 1 on."""

    name: str
    points: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Plot:
    """One plot.

    Args:
        svg: the element; its style is that of the page.
        names: of its curves, in the order of their colours.
        told: in sentences, for those who cannot see it.
    """

    title: str
    svg: str
    names: Sequence[str]
    told: str


def plots_of(rows: Sequence[EpochRecord]) -> list[Plot]:
    """The plots of a training, with a line where each phase ends."""
    epochs = [row for row in rows if row.get("epoch")]
    phases = [(name, len(list(members))) for name, members in groupby(epochs, _phase)]
    made = []
    for title, keys, form in _PLOTS:
        curves = [Curve(name, _points(epochs, key)) for key, name in keys.items()]
        curves = [curve for curve in curves if curve.points]
        if curves:
            made.append(_plot(title, curves, phases, form))
    return made


def _phase(row: EpochRecord) -> str:
    return row.get("phase", "")


def _points(rows: Sequence[EpochRecord], key: str) -> list[tuple[int, float]]:
    found = ((at, row.get(key)) for at, row in enumerate(rows, 1))
    return [(at, float(value)) for at, value in found if isinstance(value, int | float)]


def _plot(
    title: str, curves: Sequence[Curve], phases: Sequence[tuple[str, int]], form: str
) -> Plot:
    count = sum(length for _, length in phases)
    values = [value for curve in curves for _, value in curve.points]
    # Zeros have no place on a logarithmic axis; a learning rate may end in one.
    log = form == "log" and any(value > 0 for value in values)
    ticks = _decades(values) if log else _steps(min(values), max(values))
    low, high = ticks[0], ticks[-1]

    def x(epoch: float) -> float:
        share = (epoch - 1) / (count - 1) if count > 1 else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        if log:
            share = math.log(max(value, low) / low) / math.log(high / low)
        else:
            share = (value - low) / (high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def label(value: float) -> str:
        return f"{value * 100:.4g} %" if form == "percent" else f"{value:.4g}"

    parts = [
        f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="tick left" x="{LEFT - 5}" y="{y(tick) + 4:.1f}">{label(tick)}</text>'
        for tick in ticks
    ]
    parts += _phase_lines(phases, x)
    for at, curve in enumerate(curves, 1):
        line = "L".join(f"{x(epoch):.1f} {y(value):.1f}" for epoch, value in curve.points)
        parts.append(f'<path class="curve c{at}" d="M{line}"/>')
        if len(curve.points) <= 40:
            parts += [
                f'<circle class="c{at}" cx="{x(epoch):.1f}" cy="{y(value):.1f}" r="2.5"/>'
                for epoch, value in curve.points
            ]
    parts.append(
        f'<text class="tick left" x="{WIDTH - RIGHT}" y="{HEIGHT - 8}">epoch {count}</text>'
    )
    parts.append(f'<text class="tick start" x="{LEFT}" y="{HEIGHT - 8}">1</text>')
    told = f"{title} over {count} epochs. " + " ".join(
        f"{curve.name.capitalize()}: from {label(curve.points[0][1])} to "
        f"{label(curve.points[-1][1])}, least {label(min(v for _, v in curve.points))}, "
        f"most {label(max(v for _, v in curve.points))}."
        for curve in curves
    )
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="chart" role="img" '
        f'aria-label="{escape(told)}">\n' + "\n".join(parts) + "\n</svg>"
    )
    return Plot(title, svg, [curve.name for curve in curves], told)


def _phase_lines(phases: Sequence[tuple[str, int]], x: Callable[[float], float]) -> list[str]:
    """The name of each phase above its epochs, and a line between two."""
    parts, done = [], 0
    for name, length in phases:
        if done:
            at = x(done + 0.5)
            parts.append(f'<path class="phase" d="M{at:.1f} {TOP - 6}V{HEIGHT - BOTTOM}"/>')
        left = x(done + 0.5) if done else LEFT
        right = (
            x(done + length + 0.5) if done + length < sum(n for _, n in phases) else WIDTH - RIGHT
        )
        most = int((right - left) / 6)
        if most >= 3:
            text = name if len(name) <= most else name[: most - 1] + "…"
            parts.append(
                f'<text class="tick" x="{(left + right) / 2:.1f}" y="14">{escape(text)}</text>'
            )
        done += length
    return parts


def _steps(low: float, high: float) -> list[float]:
    """Round values that enclose the range, few enough to be labels."""
    span = max(high - low, 1e-9 * max(1.0, abs(high)), 1e-12)
    size = 10.0 ** math.floor(math.log10(span / 4))
    step = next(size * unit for unit in (1, 2, 2.5, 5, 10, 20) if span / (size * unit) <= 4)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [at * step for at in range(first, max(last, first + 1) + 1)]


def _decades(values: Sequence[float]) -> list[float]:
    """Powers of ten that enclose the positive values; of few, 2 and 5 times each as well."""
    there = [value for value in values if value > 0]
    first, last = math.floor(math.log10(min(there))), math.ceil(math.log10(max(there)))
    last = max(last, first + 1)
    step = -(-(last - first) // (_MOST_LABELS - 1))
    if last - first > 2:
        return [10.0**power for power in range(first, last + step, step)]
    all_of = [unit * 10.0**power for power in range(first, last) for unit in (1, 2, 5)]
    all_of.append(10.0**last)
    low = max(value for value in all_of if value <= min(there) * (1 + 1e-12))
    high = min(value for value in all_of if value >= max(there) * (1 - 1e-12))
    found = [value for value in all_of if low <= value <= high]
    return found if len(found) > 1 else [low, low * 10]
