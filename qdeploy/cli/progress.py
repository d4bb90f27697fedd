"""Progress of long work: a bar with rate and time left on a terminal, plain lines when piped.

Everything goes to standard error, so that standard output holds results only.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from qdeploy.observer import Observer

if TYPE_CHECKING:
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
    """The bar that is on the screen; rich allows one at a time."""

    bar: Progress | None = None


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

    def begin_at(self, done: float) -> None:
        """Count work done earlier, which does not enter the rate."""
        self.done = self._first = done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        """`amount` more is done; `note` is shown after the rate."""
        self.done += amount
        if note is not None:
            self.note = note
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=self.done, rate=f"{self.rate:,.0f} {self.unit}/s {self.note}"
            )
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            say(self.line(), self.stream)

    @property
    def rate(self) -> float:
        """Units per second since the start."""
        return (self.done - self._first) / max(time.monotonic() - self._start, 1e-9)

    def line(self) -> str:
        """The state as one plain line."""
        part = f"{self.done:,.0f}"
        if self.total is not None:
            part += f" of {self.total:,.0f}"
        text = f"{self.description}: {part} {self.unit}, {self.rate:,.1f} {self.unit}/s"
        if self.total is not None and self.rate > 0 and self.done < self.total:
            text += f", {_duration((self.total - self.done) / self.rate)} left"
        return f"{text} {self.note}".rstrip()


@contextlib.contextmanager
def meter(
    description: str, total: float | None, unit: str = "items", stream: TextIO | None = None
) -> Iterator[PrintingMeter]:
    """A meter for work whose amount is counted by hand, with `PrintingMeter.advance`."""
    stream = sys.stderr if stream is None else stream
    counter = PrintingMeter(description, total, unit, stream)
    if not stream.isatty() or _Running.bar is not None:
        yield counter
        return
    with _make_bar(stream) as bar:
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


def _make_bar(stream: TextIO) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rate]}"),
        console=Console(file=stream),
        transient=True,
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
