"""How a caller follows a build: its stages, their results and times, and the ladder's rungs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qdeploy.verify.results import Rung


@dataclass(frozen=True)
class Observer:
    """What a caller wants to hear about while a build goes on.

    Args:
        stage: a stage's name, when it starts.
        done: a stage's name, its seconds, and its result in a few words.
        rung: a rung of the ladder, when it has run.
    """

    stage: Callable[[str], None] = lambda name: None
    done: Callable[[str, float, str], None] = lambda name, seconds, result: None
    rung: Callable[[Rung], None] = lambda rung: None

    @contextlib.contextmanager
    def during(self, name: str) -> Iterator[Callable[[str], None]]:
        """Around a stage; gives the function that takes its result in a few words."""
        self.stage(name)
        start, said = time.monotonic(), [""]

        def say(result: str) -> None:
            said[0] = result

        yield say
        self.done(name, time.monotonic() - start, said[0])
