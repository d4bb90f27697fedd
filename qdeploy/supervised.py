"""Programs that end with the process that started them, and so do their own children.

Each program runs under a shell that leads a process group of its own. In the group a second process
waits at a pipe whose other end only this process holds: when this one ends, however it ends, the
pipe closes and the group is killed. Killing the own group needs no process number, so no other
program can be hit by mistake.

    this process ── pipe ──> watcher ─┐
         └── sh (leads the group) ────┼── the program ── its children
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

T = TypeVar("T")
R = TypeVar("R")
# Seconds that programs have to remove their own temporary files, from SIGTERM to SIGKILL.
GRACE = 3.0
# A shell gives a program that a signal ended this much more than the signal's number.
_BY_SIGNAL = 128
# The program gets default signals again: what a shell traps is not inherited.
_SCRIPT = """
exec 3<&0 </dev/null
{ trap '' HUP INT TERM; read -r _; kill -9 0; } <&3 >/dev/null 2>&1 &
exec 3<&-
trap : HUP INT TERM
"$@"
exit $?
"""


class _Here(threading.local):
    """The group that programs started by this thread belong to."""

    together: Together | None = None


_here = _Here()


@dataclass(eq=False)
class Supervised:
    """A running program; `end` it or `wait` for it, then `close`."""

    process: subprocess.Popen[bytes]
    pipe: IO[bytes]

    def wait(self, timeout: float) -> int:
        """Its exit status, or the negative number of the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        status = self.process.wait(timeout)
        number = status - _BY_SIGNAL
        return -number if number in set(signal.Signals) else status

    def ask_to_end(self) -> None:
        """Send SIGTERM to the program and its children."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)

    def end(self) -> None:
        """End the program and its children: SIGTERM, after `GRACE` seconds SIGKILL."""
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        self.close()
        self.process.wait()

    def close(self) -> None:
        """Kill what is left of the group."""
        self.pipe.close()


def start(
    command: Sequence[str],
    cwd: Path,
    output: IO[bytes] | int,
    env: Mapping[str, str],
    errors: int = subprocess.STDOUT,
) -> Supervised:
    """Start a program without input.

    Raises:
        OSError: `cwd` is no folder, or the system has no room for another process.
        CancelledError: its `Together` has been ended.
    """
    together = _here.together
    if together is None:
        return _start(command, cwd, output, env, errors)
    with together.lock:
        together.check()
        program = _start(command, cwd, output, env, errors)
        together.running.append(program)
    return program


def _start(
    command: Sequence[str], cwd: Path, output: IO[bytes] | int, env: Mapping[str, str], errors: int
) -> Supervised:
    waited, written = os.pipe()
    pipe = os.fdopen(written, "wb", buffering=0)  # closes by itself where nobody closes it
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "sh", *command],
            cwd=cwd,
            stdin=waited,
            stdout=output,
            stderr=errors,
            env=env,
            start_new_session=True,
        )
    except BaseException:
        pipe.close()
        raise
    finally:
        os.close(waited)
    return Supervised(process, pipe)


class CancelledError(Exception):
    """A program was not started: the work that it belongs to has been given up."""


class Together:
    """Programs that the threads of one pool run."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: list[Supervised] = []
        self.ended = False

    def join(self) -> None:
        """Count the programs that the calling thread starts from now on."""
        _here.together = self

    def check(self) -> None:
        """Raises:
        CancelledError: `end` was called.
        """
        if self.ended:
            raise CancelledError

    def end(self) -> None:
        """End all that run, and let no other start."""
        with self.lock:
            self.ended = True
            running = [one for one in self.running if one.process.poll() is None]
        for one in running:
            one.ask_to_end()
        limit = time.monotonic() + GRACE
        while any(one.process.poll() is None for one in running) and time.monotonic() < limit:
            time.sleep(0.02)
        for one in running:
            one.close()


@contextlib.contextmanager
def in_parallel(work: Callable[[T], R], items: Iterable[T], at_once: int) -> Iterator[Iterator[R]]:
    """Yield the results of `work` in order, which threads compute ahead.

    When the block is left early (an error in `work` or in the block, Ctrl-C), work that has not
    begun is dropped and programs that still run are ended: nobody waits for them.

    Args:
        at_once: number of threads.
    """
    together = Together()
    pool = ThreadPoolExecutor(max_workers=at_once, initializer=together.join)
    try:
        yield pool.map(work, items)
    finally:
        together.end()
        pool.shutdown(wait=True, cancel_futures=True)
