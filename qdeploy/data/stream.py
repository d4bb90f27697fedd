"""Batches of a split that is read from its files, decoded by worker processes ahead of time."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import tempfile
import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from qdeploy.data.augment import Batch
from qdeploy.data.dataset import Split
from qdeploy.errors import DataError

_PR_SET_PDEATHSIG = 1
PREFETCHED = 4  # batches that each worker decodes in advance
# Workers pass batches on through a socket in the folder of temporary files. Linux takes addresses
# of 107 bytes; with a longer one batches would never arrive.
_ADDRESS = 107
_SOCKET = "/pymp-12345678/listener-12345678"
_SHORT = ("/tmp", "/var/tmp")


class FileSplit(Split):
    """A split that is never in memory as a whole."""

    @abstractmethod
    def item(self, index: int, generator: torch.Generator | None) -> Batch:
        """One image, uint8 (C, H, W), and its label, int64 () or uint8 (H, W).

        Args:
            generator: random numbers for the augmentation; None for the image without augmentation,
                as in evaluation.

        Raises:
            DataError: when a file cannot be read, naming it.
        """

    def read(self, indices: Sequence[int]) -> Batch:
        items = [self.item(int(index), None) for index in indices]
        return torch.stack([image for image, _ in items]), torch.stack([y for _, y in items])


# An image to decode: its index, and the seed of its augmentation, None without augmentation.
Wanted = tuple[int, int | None]


def stream(split: FileSplit, batches: Iterable[Sequence[Wanted]], workers: int) -> Iterator[Batch]:
    """Decode `batches` in order. Each image has a seed of its own, so that the result does not
    depend on the number of workers.

    Args:
        batches: consumed as needed, so that it may be a generator.
        workers: number of processes; 0 decodes in this one.

    Raises:
        DataError: when a file cannot be read, a worker was killed, or the names of temporary files
            are too long for sockets.
    """
    if workers:
        _sockets_folder()
    loader: DataLoader[Any] = DataLoader(
        _Items(split),  # type: ignore[arg-type]  # only __getitem__ is used
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=workers,
        prefetch_factor=PREFETCHED if workers else None,
        collate_fn=_collate,
        worker_init_fn=functools.partial(_begin, os.getpid()),
        # Without a generator a DataLoader draws its workers' seeds from the global one, which is
        # reserved for the training.
        generator=torch.Generator().manual_seed(0),
    )
    iterator = _started(loader)
    try:
        yield from _batches(iterator)
    finally:
        _end_workers(iterator)


def _batches(iterator: Iterator[Any]) -> Iterator[Batch]:
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except (ConnectionError, EOFError, FileNotFoundError) as error:
            # A batch is in memory of its worker, which passes it on when it is requested.
            raise _killed("it ended before it had passed on a batch") from error
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise _killed(str(error).splitlines()[0]) from error
        if isinstance(batch, _WorkerError):
            raise batch.error()
        yield batch


def _end_workers(iterator: Iterator[Any]) -> None:
    """End the workers now, and not when the iterator is collected as garbage.

    An error's traceback holds the iterator in a circle. Python's collector then finalizes its pipes
    in any order, while the iterator's own end starts a thread on those of a worker that never got
    an index; the thread closes them again, and with them whatever file was opened in between.
    """
    end = getattr(iterator, "_shutdown_workers", None)  # none where no process was started
    if end is not None:
        end()


def _started(loader: DataLoader[Any]) -> Iterator[Any]:
    """The loader's iterator, with its workers running.

    The first one installs a SIGCHLD handler, which raises wherever the program happens to be when a
    worker dies. The handler is removed: the iterator itself notices within seconds, at a place
    where an error is expected.
    """
    if threading.current_thread() is not threading.main_thread():
        return iter(loader)
    before = signal.getsignal(signal.SIGCHLD)
    iterator = iter(loader)
    signal.signal(signal.SIGCHLD, before)
    return iterator


def _sockets_folder() -> str:
    """The folder for the workers' sockets: that of temporary files, unless its name is too long."""
    given = tempfile.gettempdir()
    for folder in (given, *_SHORT):
        if len(os.fsencode(folder + _SOCKET)) <= _ADDRESS and os.access(folder, os.W_OK):
            return folder
    raise DataError(
        "the processes that decode images cannot pass them on",
        where="data.workers",
        why=f"the folder of temporary files, `{given}`, has too long a name for sockets",
        do="set TMPDIR to a folder with a shorter name, or data.workers to 0",
    )


def _begin(training: int, _worker: int) -> None:
    """Have the system end this worker when the training ends, also if that is killed (Linux).

    By itself it would notice after some seconds, and hold the lock of the run folder until then.
    """
    tempfile.tempdir = _sockets_folder()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != training:  # it was killed before this worker could ask for that
        os._exit(1)


def _killed(why: str) -> DataError:
    return DataError(
        "a process that decodes images was killed",
        where="data.workers",
        why=why,
        do="check whether the machine ran out of memory or of shared memory (/dev/shm), and reduce "
        "data.workers",
    )


class _WorkerError:
    """A DataError passed on by a worker; errors with keyword arguments cannot be pickled."""

    def __init__(self, error: DataError) -> None:
        self.what = error.what
        self.rest = {"where": error.where, "why": error.why, "do": error.do}

    def error(self) -> DataError:
        return DataError(self.what, **self.rest)


class _Items:
    """What a DataLoader's workers index."""

    def __init__(self, split: FileSplit) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, request: Wanted) -> Batch | _WorkerError:
        index, seed = request
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        try:
            return self.split.item(index, generator)
        except DataError as error:
            return _WorkerError(error)


def _collate(items: list[Batch | _WorkerError]) -> Batch | _WorkerError:
    good: list[Batch] = []
    for item in items:
        if isinstance(item, _WorkerError):
            return item
        good.append(item)
    return torch.stack([image for image, _ in good]), torch.stack([label for _, label in good])
