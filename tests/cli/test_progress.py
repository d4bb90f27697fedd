"""Progress where there is no terminal: plain lines on the stream."""

import io

import pytest

from qdeploy.cli import progress
from qdeploy.observer import Observer


def printing(stream):
    """An observer whose meters print on `stream`."""
    return Observer(meter=lambda what, total, unit: progress.meter(what, total, unit, stream))


@pytest.fixture
def often(monkeypatch):
    """A line at every step instead of every few seconds."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)


def test_track_yields_everything_and_counts_it_in_plain_lines(often):
    stream = io.StringIO()
    assert list(printing(stream).track([3, 1, 2], "reading", unit="files")) == [3, 1, 2]
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("reading: 1 of 3 files, ")
    assert "left" in lines[0]
    assert "left" not in lines[2]
    assert "\x1b" not in stream.getvalue()


def test_short_work_is_silent_when_piped():
    stream = io.StringIO()
    assert sum(printing(stream).track(range(1000), "adding")) == 499500
    assert stream.getvalue() == ""


def test_the_total_may_be_given_or_unknown(often):
    stream = io.StringIO()
    list(printing(stream).track(iter("ab"), "spelling"))
    list(printing(stream).track(iter("ab"), "spelling", total=2))
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("spelling: 1 items, ")
    assert lines[2].startswith("spelling: 1 of 2 items, ")


def test_work_done_earlier_does_not_enter_the_rate():
    with progress.meter("training", 10_000_000_000, "images", io.StringIO()) as bar:
        bar.begin_at(9_000_000_000)
        bar.advance(10, "loss 0.5")
        assert bar.rate < 1e9
        assert bar.line().startswith("training: 9,000,000,010 of 10,000,000,000 images, ")
        assert bar.line().endswith("loss 0.5")


def test_a_terminal_gets_a_bar_with_rate_and_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    for _ in printing(stream).track(range(5), "training", unit="images"):
        progress.say("an epoch is done")
    text = stream.getvalue()
    assert "training" in text
    assert "images/s" in text
    assert text.count("an epoch is done") == 5
