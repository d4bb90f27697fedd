"""A study on the terminal: a table that lives while it runs, and what it has found."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qdeploy.cli.progress import SECONDS_BETWEEN_LINES, duration, say
from qdeploy.report.tables import print_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from qdeploy.study.engine import Progress, StudyObserver
    from qdeploy.study.results import Results

_SHOWN = ("accuracy", "miou", "distortion", "noise", "weights", "lut", "fps")


@contextlib.contextmanager
def progress_shown(title: str) -> Iterator[StudyObserver]:
    """An observer whose table is on standard error, where that is a terminal; else lines, few."""
    from qdeploy.study.engine import StudyObserver

    if not sys.stderr.isatty():
        last = [time.monotonic()]

        def line(progress: Progress) -> None:
            if time.monotonic() - last[0] >= SECONDS_BETWEEN_LINES:
                last[0] = time.monotonic()
                say(f"{title}: {sentence(progress)}")

        yield StudyObserver(note=say, update=line)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield StudyObserver(
            note=lambda text: console.print(text, markup=False, highlight=False),
            update=lambda progress: live.update(_table(title, progress)),
        )


def sentence(progress: Progress) -> str:
    """How far it is, for people."""
    parts = [f"{progress.done} of {progress.total} trials"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    parts.append(f"{len(progress.running)} running")
    if progress.left is not None and progress.running:
        parts.append(f"about {duration(progress.left)} left")
    return ", ".join(parts)


def _table(title: str, progress: Progress) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{title}: {sentence(progress)}", title_justify="left", box=None)
    for name in ("trial", "time", "last heard"):
        table.add_column(name, no_wrap=True)
    for one in progress.running:
        table.add_row(Text(one.label), duration(one.seconds), Text(one.note[:100]))
    return table


def print_results(results: Results, console: Console) -> None:
    """The cells as a table, what failed, and the claims."""
    from qdeploy.study.claims import decide
    from qdeploy.study.page import number

    shown = [one for one in _SHOWN if one in results.measures]
    head = ["network", "variant", "seeds", *shown, *["paper"] * bool(results.facts.values)]
    rows = []
    for network in results.names:
        for variant in results.variants:
            spreads = {one: results.spread(network, variant, one) for one in shown}
            count = max([s.count for s in spreads.values() if s is not None], default=0)
            row = [network, variant, str(count)]
            for one in spreads.values():
                wide = "" if one is None or one.deviation is None else f" ± {one.deviation:.2f}"
                row.append("-" if one is None else f"{number(one.mean)}{wide}")
            if results.facts.values:
                measure = next((m for m in ("accuracy", "miou") if m in shown), "accuracy")
                paper = results.facts.get(network, variant, measure)
                row.append("-" if paper is None else f"{paper:.2f}")
            rows.append(row)
    title = f"{results.opened.study.title} ({results.scale})"
    if rows:
        print_table(title, head, rows, right=range(2, len(head)), console=console)
    lines = []
    for cell in results.rows:
        if cell.state in ("failed", "diverged"):
            said = cell.error.strip().splitlines()[0] if cell.error.strip() else ""
            lines.append(f"{cell.network} {cell.variant} seed {cell.seed} {cell.state}: {said}")
    lines += sorted({f"note: {cell.note}" for cell in results.rows if cell.note})
    waiting = results.count("waiting")
    if waiting:
        lines.append(f"{waiting} of {len(results.rows)} cells are not there yet.")
    for decided in decide(results):
        lines.append(f"{decided.claim.source}: {decided.claim.says}")
        lines.append(f"    found {decided.found}; agrees: {decided.agrees.strip('*')}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
