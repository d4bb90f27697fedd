"""Which processes run, by what is in their command lines or their environment."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 240.0


def processes_with(mark: str) -> list[bytes]:
    """Command lines of the processes that run and have `mark` in theirs, or in their environment:
    what a process starts gets its environment.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            around = line + (process / "environ").read_bytes()
            state = (process / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if mark.encode() in around and state not in "ZX":
            found.append(line)
    return found


def gone(mark: str, seconds: float = 5.0) -> bool:
    """Whether no process has `mark`, at once or within `seconds`."""
    end = time.monotonic() + seconds
    while processes_with(mark):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Until `condition` holds, which what `process` does brings about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if process is not None and process.poll() is not None and not condition():
            said = process.communicate()[1]
            raise AssertionError(f"it ended with {process.returncode} before: {said}")
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
