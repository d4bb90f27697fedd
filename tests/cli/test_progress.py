"""Progress where there is no terminal: plain lines on the stream."""

import io
import re
import threading

import pytest
from rich.console import Console

from qdeploy.build.observer import BuildObserver
from qdeploy.cli import progress
from qdeploy.cli.build_progress import BuildProgress
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


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def screen(text):
    """What a terminal shows, without the codes that move its cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.fixture
def terminal(monkeypatch):
    """A console of 120 columns on a terminal, and its stream."""
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    return Console(file=stream, width=120, color_system=None), stream


def test_plain_lines_say_the_time_elapsed_and_left(often):
    stream = io.StringIO()
    with progress.meter("synthesis", 3, "layers", stream) as counter:
        counter._start -= 120
        counter.advance(note="conv1")
        counter.advance(note="conv2")
    first, second = stream.getvalue().splitlines()
    assert first == "synthesis: 1 of 3 layers, 0.5 layers/min, 2:00 elapsed, 4:00 left conv1"
    assert second == "synthesis: 2 of 3 layers, 1.0 layers/min, 2:00 elapsed, 1:00 left conv2"


def test_a_step_shows_its_time_and_the_layers_below_it(terminal):
    console, stream = terminal
    shown = BuildProgress(console)
    shown.start("synthesis [Yosys]")
    with progress.meter("layers of it", 4, "layers", stream) as counter:
        counter.advance(2, note="conv2")
        progress._Running.bar.refresh()
    shown.done("synthesis [Yosys]", 1.5, "12 LUT")
    text = screen(stream.getvalue())
    assert "synthesis [Yosys]" in text and "0:00:00 elapsed" in text
    assert "layers of it" in text and "50%" in text and "conv2" in text and "left" in text
    last = text.rstrip().splitlines()[-1]
    assert " ".join(last.split()) == "synthesis [Yosys] 1.5 s 12 LUT"
    assert progress._Running.bar is None


def test_a_step_that_fails_leaves_no_bar(terminal):
    console, _ = terminal
    shown = BuildProgress(console)
    observer = BuildObserver(stage=shown.start, done=shown.done, failed=shown.failed)
    with pytest.raises(ValueError, match="broken"), observer.during("a step"):
        assert progress._Running.bar is not None
        raise ValueError("broken")
    assert progress._Running.bar is None


def test_a_pipe_gets_one_line_for_each_step_and_nothing_before(monkeypatch):
    stream = io.StringIO()
    shown = BuildProgress(Console(file=stream, width=40))
    shown.start("read the network")
    assert stream.getvalue() == ""
    shown.done("read the network", 2.0, "x" * 60)
    assert stream.getvalue() == f"{'read the network':<40}    2.0 s  {'x' * 60}\n"


def test_layers_counted_from_several_threads_are_all_counted():
    with progress.meter("synthesis", 4000, "layers", io.StringIO()) as counter:
        threads = [
            threading.Thread(target=lambda: [counter.advance() for _ in range(1000)])
            for _ in range(4)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert counter.done == 4000
