"""Batches of a split that is read from its files, decoded by worker processes ahead of time."""

from __future__ import annotations

import signal
import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from qdeploy.data.augment import Batch
from qdeploy.data.dataset import Split
from qdeploy.errors import DataError

AHEAD = 4  # batches that each worker decodes in advance


class FileSplit(Split):
    """A split that never lies in memory as a whole."""

    @abstractmethod
    def item(self, index: int, generator: torch.Generator | None) -> Batch:
        """One image, uint8 (C, H, W), and its label, int64 () or uint8 (H, W).

        Args:
            generator: source of the augmentation's random numbers; None for the image as the
                network is tested with.

        Raises:
            DataError: when a file cannot be read, naming it.
        """

    def read(self, indices: Sequence[int]) -> Batch:
        """See the base class."""
        items = [self.item(int(index), None) for index in indices]
        return torch.stack([image for image, _ in items]), torch.stack([y for _, y in items])


# An image to decode: its index, and the seed of its augmentation, None for none.
Wanted = tuple[int, int | None]


def stream(split: FileSplit, batches: Iterable[Sequence[Wanted]], workers: int) -> Iterator[Batch]:
    """Decode `batches` in order. Each image has a seed of its own, so that the result does not
    depend on the number of workers.

    Args:
        batches: asked for as they are needed, so that they may be a generator.
        workers: processes; 0 decodes here.

    Raises:
        DataError: when a file cannot be read or a worker was killed.
    """
    loader: DataLoader[Any] = DataLoader(
        _Items(split),  # type: ignore[arg-type]  # it has __getitem__, which is all that is used
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        collate_fn=_collate,
        # Without a generator a DataLoader draws its workers' seeds from the global one, which
        # belongs to the training.
        generator=torch.Generator().manual_seed(0),
    )
    iterator = _started(loader)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except (ConnectionError, EOFError, FileNotFoundError) as error:
            # A batch lies in memory that its worker hands over when asked.
            raise _killed("it left before it had handed over a batch") from error
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise _killed(str(error).splitlines()[0]) from error
        if isinstance(batch, _Trouble):
            raise batch.error()
        yield batch


def _started(loader: DataLoader[Any]) -> Iterator[Any]:
    """The loader's iterator, with its workers running.

    The first one installs a handler of SIGCHLD that raises, wherever the program is, when a worker
    dies. It is taken back: the iterator itself finds out within seconds, where it is expected.
    """
    if threading.current_thread() is not threading.main_thread():
        return iter(loader)
    before = signal.getsignal(signal.SIGCHLD)
    iterator = iter(loader)
    signal.signal(signal.SIGCHLD, before)
    return iterator


def _killed(why: str) -> DataError:
    return DataError(
        "a process that decodes images was killed",
        where="data.workers",
        why=why,
        do="see whether the machine ran out of memory or of shared memory (/dev/shm), and set "
        "data.workers lower",
    )


class _Trouble:
    """A DataError on its way from a worker; errors with keyword arguments do not pickle."""

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

    def __getitem__(self, wanted: Wanted) -> Batch | _Trouble:
        index, seed = wanted
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        try:
            return self.split.item(index, generator)
        except DataError as error:
            return _Trouble(error)


def _collate(items: list[Batch | _Trouble]) -> Batch | _Trouble:
    good: list[Batch] = []
    for item in items:
        if isinstance(item, _Trouble):
            return item
        good.append(item)
    return torch.stack([image for image, _ in good]), torch.stack([label for _, label in good])
