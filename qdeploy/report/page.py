"""What the pages of builds and of training runs share: the template engine and small figures.

Every text that comes from a file is escaped by the template engine; what is made here as SVG is
escaped where it is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy.bounded import MAX_YAML_BYTES
from qdeploy.resources import resource

FOLDER = "export/report"
# Of a plot: more bars than these are folded away.
MOST_BARS = 14


@dataclass(frozen=True)
class Bar:
    """One bar of a plot: `share` of the longest in [0, 1], `text` beside it."""

    name: str
    share: float
    text: str
    mark: str = ""


@dataclass(frozen=True)
class Bars:
    """A plot of bars: those that are shown, in order, and those that are folded away."""

    shown: Sequence[Bar]
    folded: Sequence[Bar]


@dataclass(frozen=True)
class Card:
    """A figure of the first screen.

    Args:
        title: what it is.
        value: the figure.
        note: what it was measured with, or why there is none.
        kind: `good`, `bad` or empty.
    """

    title: str
    value: str
    note: str = ""
    kind: str = ""


def render_page(template: str, values: Mapping[str, Any]) -> str:
    """A template of `export/report` as a page, with `values`."""
    import jinja2

    # What a file does not say is left out: an undefined value is false, not an error.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(resource(FOLDER))),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"num": number, "percent": percent, "share": share, "grouped": grouped}
    environment.filters.update(filters)
    return environment.get_template(template).render(**values)


def bars(rows: Sequence[tuple[str, float, str]], form: str = ",g") -> Bars:
    """Rows of (name, value, mark) as bars; where there are many, the longest of them stay."""
    longest = max((value for _, value, _ in rows), default=0) or 1
    made = [Bar(name, value / longest, format(value, form), mark) for name, value, mark in rows]
    return fold(made)


def fold(made: Sequence[Bar]) -> Bars:
    """At most `MOST_BARS`, the longest and those with a mark; the rest is folded away."""
    order = sorted(range(len(made)), key=lambda at: (not made[at].mark, -made[at].share, at))
    stay = set(order[:MOST_BARS])
    shown = [bar for at, bar in enumerate(made) if at in stay]
    return Bars(shown, [bar for at, bar in enumerate(made) if at not in stay])


def number(value: object) -> str:
    """A figure with thousands separated, `-` where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    return f"{value:,g}" if abs(value) < 1e5 else f"{value:,.0f}"


def grouped(value: float) -> str:
    """A large figure without decimals."""
    return f"{value:,.0f}"


def percent(value: object) -> str:
    """A share of 1 with two decimals, `-` where there is none."""
    return "-" if isinstance(value, bool) or not isinstance(value, int | float) else f"{value:.2%}"


def share(value: object, whole: object) -> str:
    """A part of the whole in percent, `-` where one of them is not known."""
    if not isinstance(value, int | float) or not isinstance(whole, int | float) or not whole:
        return "-"
    return f"{value / whole:.1%}"


def recipe_text(path: Path) -> str:
    """The recipe's text, and no more of it than a recipe has; empty without one."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(MAX_YAML_BYTES).decode("utf-8", errors="replace")
