"""What the library reports goes to the observer, and nowhere else."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import pytest

from qdeploy.observer import SILENT, Meter, Observer


class _Counter:
    def __init__(self) -> None:
        self.done: list[float] = []

    def begin_at(self, done: float) -> None:
        self.done.append(done)

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        self.done.append(amount)


def test_tracked_items_advance_the_meter_by_one_each() -> None:
    counter, opened = _Counter(), []

    @contextlib.contextmanager
    def meter(description: str, total: float | None, unit: str) -> Iterator[Meter]:
        opened.append((description, total, unit))
        yield counter

    seen = list(Observer(meter=meter).track(["a", "b"], "reading", unit="files"))
    assert seen == ["a", "b"]
    assert opened == [("reading", 2, "files")]
    assert counter.done == [1, 1]


@pytest.mark.filterwarnings("default")
def test_warnings_of_other_packages_go_to_the_observer(capfd: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []
    with Observer(warning=heard.append).warnings():
        warnings.warn("old API", DeprecationWarning, stacklevel=1)
    assert heard == ["old API"]
    assert capfd.readouterr() == ("", "")


def test_the_silent_observer_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    SILENT.note("a sentence")
    assert list(SILENT.track(range(3), "counting")) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")
