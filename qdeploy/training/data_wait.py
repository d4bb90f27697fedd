"""How long a training waits for its data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class DataWait(Generic[T]):
    """Yields the items of `source` and adds up, in `seconds`, the time spent waiting for them.

    Every step ends with a number read from the device, so the rest of an epoch is computation.
    """

    def __init__(self, source: Iterable[T]) -> None:
        self.seconds = 0.0
        self._source = iter(source)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        began = time.monotonic()
        try:
            return next(self._source)
        finally:
            self.seconds += time.monotonic() - began
