"""Batches that are worked off in a thread of their own, without gaps between them."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from .errors import AcceleratorError

Run = Callable[[Iterable["np.ndarray | None"]], Iterator[np.ndarray]]


class Job:
    """One batch: its transfers, and what makes their results the caller's."""

    def __init__(
        self, pieces: Sequence[np.ndarray], combine: Callable[[list[np.ndarray]], Any]
    ) -> None:
        self.pieces, self.combine = pieces, combine
        self.future: Future[Any] = Future()
        self.again()

    def end(self) -> None:
        """Give the caller the result."""
        try:
            result = self.combine(self.results)
        except BaseException as error:  # noqa: BLE001 - it is the future's
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    def again(self) -> None:
        """From the first transfer."""
        self.given = 0
        self.results: list[np.ndarray] = []


class Worker:
    """The thread.

    Args:
        run: works off transfers in their order, see `Pipeline.run`.
        lock: held while anything is worked off.
    """

    def __init__(self, run: Run, lock: threading.Lock) -> None:
        self._run, self._lock = run, lock
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._open: deque[Job] = deque()
        self._closing = self._ended = False
        self._thread = threading.Thread(target=self._loop, name="accelerator", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a batch."""
        self._waiting.put(job)

    def is_current(self) -> bool:
        """Whether the caller is the worker's own thread, as in a callback of a result."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """End the thread: what moves is finished, what waits gets an error."""
        self._closing = True
        self._waiting.put(None)
        if not self.is_current():
            self._thread.join()

    # ---- the thread --------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._ended and self._next(block=True):
            with self._lock:
                while self._open:
                    self._work_off()

    def _next(self, block: bool) -> bool:
        """Take a batch that waits into `_open`; False when there is none, or none more."""
        while True:
            try:
                job = self._waiting.get(block)
            except queue.Empty:
                return False
            if job is None:
                self._ended = True
                return False
            if self._closing:
                if job.future.set_running_or_notify_cancel():
                    job.future.set_exception(AcceleratorError("the accelerator was closed"))
            elif job.future.set_running_or_notify_cancel():
                self._open.append(job)
                return True

    def _work_off(self) -> None:
        """All open batches, and those that come meanwhile; one that fails takes no other along."""
        try:
            for values in self._run(self._pieces()):
                job = self._open[0]
                job.results.append(values)
                if len(job.results) == len(job.pieces):
                    self._open.popleft().end()
        except BaseException as error:  # noqa: BLE001 - it is the future's
            if self._open:
                self._open.popleft().future.set_exception(error)
            for job in self._open:
                job.again()

    def _pieces(self) -> Iterator[np.ndarray | None]:
        while True:
            job = next((one for one in self._open if one.given < len(one.pieces)), None)
            if job is not None:
                job.given += 1
                yield job.pieces[job.given - 1]
            elif not self._next(block=False):
                if not self._open:
                    return
                yield None  # the results of what moves, then look again
