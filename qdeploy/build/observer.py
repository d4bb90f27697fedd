"""How a caller follows a build: its stages, their results and times, and the ladder's rungs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qdeploy.observer import Observer, ignore
from qdeploy.verify.results import RungResult


def _ignore_done(_name: str, _seconds: float, _result: str) -> None:
    """Say nothing."""


def _ignore_rung(_result: RungResult) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class BuildObserver(Observer):
    """What a caller wants to hear about while a build goes on.

    Args:
        stage: a stage's name, when it starts.
        done: a stage's name, its seconds, and its result in a few words.
        rung_starts: the name of a rung of the ladder, when it begins to run.
        rung: a rung of the ladder, when it has run.
        failed: the name of a stage or a rung that ends in an error.
    """

    stage: Callable[[str], None] = ignore
    done: Callable[[str, float, str], None] = _ignore_done
    rung_starts: Callable[[str], None] = ignore
    rung: Callable[[RungResult], None] = _ignore_rung
    failed: Callable[[str], None] = ignore

    @contextlib.contextmanager
    def during(self, name: str) -> Iterator[Callable[[str], None]]:
        """Around a stage; gives the function that takes its result in a few words."""
        self.stage(name)
        start, result = time.monotonic(), [""]

        def say(text: str) -> None:
            result[0] = text

        try:
            yield say
        except BaseException:
            self.failed(name)
            raise
        self.done(name, time.monotonic() - start, result[0])


SILENT_BUILD = BuildObserver()
