"""How library code reports: through an observer that the caller hands in.

Only `qdeploy/cli` prints. What a command shows as lines and bars, a program may collect, or leave
alone: every hook does nothing unless it is given.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")
# Loggers that warn on import of a package: Brevitas loads this one, which misses a CUDA device.
LOGGERS = ("torch.utils.cpp_extension",)


class Meter(Protocol):
    """Counts the progress of long work."""

    def begin_at(self, done: float) -> None:
        """Count work done earlier, which does not enter the rate."""

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        """`amount` more is done; `note` is shown after the rate."""


class _SilentMeter:
    def begin_at(self, done: float) -> None: ...

    def advance(self, amount: float = 1, note: str | None = None) -> None: ...


# Description, total (None when unknown), unit in the plural -> a meter while the work goes on.
OpenMeter = Callable[[str, float | None, str], AbstractContextManager[Meter]]


def ignore(_text: str) -> None:
    """Say nothing."""


@contextlib.contextmanager
def silent_meter(_description: str, _total: float | None, _unit: str) -> Iterator[Meter]:
    """A meter that nobody sees."""
    yield _SilentMeter()


@dataclass(frozen=True)
class Observer:
    """What a caller wants to hear about.

    Args:
        note: one sentence that a person should read.
        meter: opens a meter for work that takes longer than two seconds.
        warning: the text of a warning that another package gave.
    """

    note: Callable[[str], None] = ignore
    meter: OpenMeter = silent_meter
    warning: Callable[[str], None] = ignore

    def track(
        self, items: Iterable[T], description: str, total: float | None = None, unit: str = "items"
    ) -> Iterator[T]:
        """Yield `items`, counting them; `total` is their number when `len` does not know it."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        with self.meter(description, total, unit) as counter:
            for item in items:
                yield item
                counter.advance()

    @contextlib.contextmanager
    def warnings(self) -> Iterator[None]:
        """Inside, warnings of other packages go to `warning` instead of standard error.

        Those are Python's warnings and what the loggers in `LOGGERS` say.
        """

        def show(message: Warning | str, *_details: object) -> None:
            self.warning(str(message))

        def divert(record: logging.LogRecord) -> bool:
            self.warning(record.getMessage())
            return False

        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.showwarning = show  # type: ignore[assignment]
            for logger in map(logging.getLogger, LOGGERS):
                logger.addFilter(divert)
                stack.callback(logger.removeFilter, divert)
            yield


SILENT = Observer()
