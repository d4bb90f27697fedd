"""Workers on this machine: processes that stay, so that torch is loaded once in each."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import IO

from qdeploy.study.machine import RESERVED_MIB, free_mib
from qdeploy.study.pool import Ended
from qdeploy.study.trial import Job, Reply

_GRACE = 10.0  # seconds to end, after which a worker is killed
_WORDS = 2000  # of its error output, where it was lost


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    job: Job | None = None
    mib: float = 0.0
    heard: bytes = b""
    note: str = ""


class LocalPool:
    """At most `jobs` workers.

    Args:
        modules: that recipes may name.
    """

    def __init__(self, jobs: int, modules: Sequence[str] = ()) -> None:
        self._jobs, self._modules = jobs, list(modules)
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    def room(self, mib: float) -> bool:
        """Whether a worker is free, and memory for what runs and for one more job."""
        busy = [worker for worker in self._workers if worker.job is not None]
        if not busy:
            return True
        return len(busy) < self._jobs and free_mib() > mib + RESERVED_MIB

    def start(self, job: Job, mib: float) -> None:
        """Give a job to a worker that is free, or to a new one."""
        worker = next((one for one in self._workers if one.job is None), None) or self._new()
        worker.job, worker.mib, worker.note = job, mib, ""
        assert worker.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it was lost just now, which `wait` tells
            worker.process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
            worker.process.stdin.flush()

    def wait(self, seconds: float) -> list[Ended]:
        """Jobs that are over, after `seconds` at most; workers that are gone are forgotten."""
        over = []
        for key, _ in self._selector.select(seconds):
            worker: _Worker = key.data
            assert worker.process.stdout is not None
            got = os.read(worker.process.stdout.fileno(), 1 << 20)
            *lines, worker.heard = (worker.heard + got).split(b"\n")
            for line in lines:
                said = json.loads(line)
                if "note" in said:
                    worker.note = said["note"]
                elif worker.job is not None:
                    over.append(Ended(worker.job.id, Reply(**said)))
                    worker.job = None
            if not got:
                if worker.job is not None:
                    over.append(Ended(worker.job.id, None, self._last_words(worker)))
                self._forget(worker)
        return over

    def notes(self) -> dict[str, str]:
        """Id of a running job -> the last sentence of it that was heard."""
        return {w.job.id: w.note for w in self._workers if w.job is not None}

    def close(self) -> None:
        """End all workers, whatever they do."""
        for worker in self._workers:
            assert worker.process.stdin is not None
            with contextlib.suppress(OSError):
                worker.process.stdin.close()
        for worker in list(self._workers):
            try:
                worker.process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                worker.process.kill()
            self._forget(worker)

    def _new(self) -> _Worker:
        errors = tempfile.TemporaryFile()  # noqa: SIM115  closed when the worker is forgotten
        process = subprocess.Popen(
            [sys.executable, "-m", "qdeploy.study.worker", *self._modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        worker = _Worker(process, errors)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        self._workers.append(worker)
        return worker

    def _forget(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None and worker.process.stdin is not None
        self._selector.unregister(worker.process.stdout)
        self._workers.remove(worker)
        worker.process.wait()
        with contextlib.suppress(OSError):
            worker.process.stdin.close()
        worker.process.stdout.close()
        worker.errors.close()

    def _last_words(self, worker: _Worker) -> str:
        status = worker.process.wait()
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        worker.errors.seek(max(0, worker.errors.seek(0, os.SEEK_END) - _WORDS))
        words = worker.errors.read().decode("utf-8", "replace").strip()
        return f"{how}{': ' + words if words else ''}"
