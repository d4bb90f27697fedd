"""Progress of long work: on a terminal a bar with rate, time elapsed and time left, else plain
lines.

Everything goes to standard error, so that standard output holds results only.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from qdeploy.observer import Observer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 15.0


def say(text: str, stream: TextIO | None = None) -> None:
    """One line beside the results, above a running bar if there is one."""
    bar = _Running.bar
    if bar is not None and stream is None:
        bar.console.print(text, markup=False, highlight=False)
    else:
        print(text, file=stream or sys.stderr, flush=True)


class _Running:
    """The bar that is on the screen; rich allows one at a time. Further meters are lines of it."""

    bar: Progress | None = None


class Steps:
    """The step that runs, with its time, on a terminal; nothing elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None

    def start(self, name: str) -> None:
        """Show this step, in place of the one before."""
        self.stop()
        if self._console.is_terminal and _Running.bar is None:
            self._bar = _Running.bar = _make_bar(self._console)
            self._bar.add_task(name, total=None, rate="")
            self._bar.start()

    def stop(self) -> None:
        """Show none."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = _Running.bar = None


@dataclass
class PrintingMeter:
    """Counts work done; made by `meter`.

    Args:
        description: what is going on.
        total: amount of work, None when unknown.
        unit: what is counted, in the plural.
    """

    description: str
    total: float | None
    unit: str
    stream: TextIO
    done: float = 0
    note: str = ""
    _bar: Progress | None = field(default=None, repr=False)
    _task: TaskID | None = field(default=None, repr=False)
    _start: float = field(default_factory=time.monotonic, repr=False)
    _first: float = field(default=0, repr=False)
    _last_line: float = field(default_factory=time.monotonic, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin_at(self, done: float) -> None:
        """Count work done earlier, which does not enter the rate."""
        self.done = self._first = done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        """`amount` more is done; `note` is shown after the rate. May be called from any thread."""
        with self._lock:
            self.done += amount
            if note is not None:
                self.note = note
        if self._bar is not None and self._task is not None:
            text = f"{self.pace} {self.note}"
            self._bar.update(self._task, completed=self.done, rate=text)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            say(self.line(), self.stream)

    @property
    def rate(self) -> float:
        """Units per second since the start."""
        return (self.done - self._first) / max(time.monotonic() - self._start, 1e-9)

    @property
    def pace(self) -> str:
        """The rate in words, per minute where it is slow."""
        if 0 < self.rate < 1:
            return f"{60 * self.rate:,.1f} {self.unit}/min"
        return f"{self.rate:,.{0 if self.rate >= 100 else 1}f} {self.unit}/s"

    def line(self) -> str:
        """The state as one plain line."""
        part = f"{self.done:,.0f}"
        if self.total is not None:
            part += f" of {self.total:,.0f}"
        text = f"{self.description}: {part} {self.unit}, {self.pace}"
        text += f", {duration(time.monotonic() - self._start)} elapsed"
        if self.total is not None and self.rate > 0 and self.done < self.total:
            text += f", {duration((self.total - self.done) / self.rate)} left"
        return f"{text} {self.note}".rstrip()


@contextlib.contextmanager
def meter(
    description: str, total: float | None, unit: str = "items", stream: TextIO | None = None
) -> Iterator[PrintingMeter]:
    """A meter for work whose amount is counted by hand, with `PrintingMeter.advance`."""
    stream = sys.stderr if stream is None else stream
    counter = PrintingMeter(description, total, unit, stream)
    shown = _Running.bar
    if shown is not None and stream.isatty():
        # The step it belongs to is on the screen: a line below it.
        counter._bar = shown
        counter._task = shown.add_task(f"  {description}", total=total, rate="")
        try:
            yield counter
        finally:
            shown.remove_task(counter._task)
        return
    if shown is not None or not stream.isatty():
        yield counter
        return
    from rich.console import Console

    with _make_bar(Console(file=stream)) as bar:
        _Running.bar = bar
        counter._bar = bar
        counter._task = bar.add_task(description, total=total, rate="")
        try:
            yield counter
        finally:
            _Running.bar = None


def warn(text: str) -> None:
    """A warning that another package gave, as one line."""
    say(f"warning: {text}")


# What a command hands to the library: lines and meters on standard error.
PRINTING = Observer(note=say, meter=meter, warning=warn)


def _make_bar(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        # What a step is called may hold brackets, which are no markup.
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("elapsed"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        TextColumn("{task.fields[rate]}", markup=False),
        console=console,
        transient=True,
    )


def duration(seconds: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
