"""What a build shows while it runs: the step with its time, and a line when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.cli.progress import Steps

if TYPE_CHECKING:
    from rich.console import Console

    from qdeploy.verify.results import RungResult


class BuildProgress:
    """A bar with the running step and its time on a terminal; one plain line per finished step
    everywhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps = Steps(console)

    def start(self, name: str) -> None:
        """A step or a rung begins."""
        self.steps.start(name)

    def done(self, name: str, seconds: float, result: str) -> None:
        """A step is done, in so many seconds, with a result in a few words."""
        self.steps.stop()
        tail = f"  {result}" if result else ""
        self._line(f"{name:<40} {seconds:6.1f} s{tail}")

    def rung(self, rung: RungResult) -> None:
        """A rung has run, or was left out."""
        self.steps.stop()
        if rung.skipped is not None:
            self._line(f"  rung {rung.name:<13} skipped: {rung.skipped}")
            return
        if rung.refused is not None:
            self._line(f"  rung {rung.name:<13} FAILED  {rung.refused}")
            return
        word = "ok" if rung.passed else "FAILED"
        count = f"{rung.mismatches} of {rung.codes:,} {rung.compared} differ"
        where = f", {rung.frames:,} frames, {rung.boundaries} boundaries" if rung.frames else ""
        self._line(f"  rung {rung.name:<13} {word:<7} {count}{where}")
        if rung.note:
            self._line(f"       {'' if rung.passed else 'first difference: '}{rung.note}")

    def failed(self, _name: str) -> None:
        """A step or a rung ends in an error, which is printed next."""
        self.steps.stop()

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
