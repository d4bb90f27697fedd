"""The processes of a data-parallel training, as `torchrun` starts them.

Each process has a whole network and its share of every batch; `data.batch_size` is the batch of all
of them, so neither it nor the learning rate depends on their number. What has to be equal is made
equal: gradients (torch's DistributedDataParallel), batch norm's statistics (`global_norm`), and the
counts that metrics are computed from. The first process reads and writes the run folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from qdeploy.errors import QDeployError, RecipeError, TrainingError
from qdeploy.training.batches import Shard
from qdeploy.training.global_norm import share_statistics
from qdeploy.training.launch import Launch

T = TypeVar("T")
LOST = ("gloo", "nccl", "connection", "timed out", "timeout", "socket", "store")


@dataclass(frozen=True)
class Workers:
    """All processes; this one is `rank`, 0 .. world - 1, and computes on `device`."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def shard(self) -> Shard:
        """This process's part of every batch."""
        return Shard(self.rank, self.world)

    @property
    def is_first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def ready(self, network: nn.Module) -> nn.Module:
        """`network` on the device, with batch norms that see the batch of all processes."""
        moved = network.to(self.device)
        return share_statistics(moved) if self.world > 1 else moved

    def parallel(self, network: nn.Module) -> nn.Module:
        """What a training step calls: gradients come out averaged over the processes."""
        if self.world == 1:
            return network
        # Batch norm's statistics are shared already: no buffer has to be sent.
        return DistributedDataParallel(network, broadcast_buffers=False)

    def add(self, counts: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, on the device that `counts` is on."""
        if self.world == 1:
            return counts
        total = counts.to(self.device)
        dist.all_reduce(total)
        return total.to(counts.device)

    def all_true(self, here: bool) -> bool:
        """Whether it is true in every process."""
        if self.world == 1:
            return here
        return int(self.add(torch.tensor(int(here)))) == self.world

    def gather(self, value: T) -> list[T]:
        """The value of every process, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def first_does(self, work: Callable[[], T]) -> T:
        """What `work` gives in the first process, given to all.

        Raises:
            QDeployError: the first process's own there, in the others a TrainingError.
        """
        if self.world == 1:
            return work()
        result: list[Any] = [None, False]
        failed: QDeployError | None = None
        if self.is_first:
            try:
                result = [work(), True]
            except QDeployError as error:
                failed = error
        dist.broadcast_object_list(result, src=0)
        if failed is not None:
            raise failed
        if not result[1]:
            raise followed(self)
        value: T = result[0]
        return value


ALONE = Workers()


def followed(workers: Workers) -> TrainingError:
    """The error of a process that ends because the first one does."""
    return TrainingError(
        f"process {workers.rank} of {workers.world} ends together with the first one",
        do="read the message of the first process",
    )


@contextmanager
def joined(launch: Launch, device: str, timeout: int) -> Iterator[Workers]:
    """Join the other processes of `launch`, if there are any.

    Args:
        device: `cpu`, `cuda`, or `auto`.
        timeout: seconds that processes wait for one another.

    Raises:
        RecipeError: when the device is not there.
        TrainingError: when a process was lost: it was killed, or did not answer in time.
    """
    chosen = _device(device, launch.local_rank)
    if launch.world == 1:
        yield Workers(device=chosen)
        return
    workers = Workers(launch.rank, launch.world, chosen)
    with explained(workers):
        dist.init_process_group(
            "nccl" if chosen.type == "cuda" else "gloo",
            rank=launch.rank,
            world_size=launch.world,
            timeout=timedelta(seconds=timeout),
        )
        yield workers
        # Reached only without an error: nobody waits for a process that is lost.
        dist.barrier()
        dist.destroy_process_group()


@contextmanager
def explained(workers: Workers) -> Iterator[None]:
    """Turn what torch says about lost processes into an error for people."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, dist.DistError) and not any(w in text.lower() for w in LOST):
            raise
        raise TrainingError(
            "another process of this training ended or does not answer",
            where=f"process {workers.rank} of {workers.world}",
            why=text.strip().splitlines()[0][:200] if text.strip() else None,
            do="look for its own message above, then go on from the last checkpoint with --resume; "
            "the number of processes may change",
        ) from error


def _device(wanted: str, number: int) -> torch.device:
    if wanted == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if wanted == "auto":
            return torch.device("cpu")
        raise RecipeError(
            "there is no GPU that torch can use",
            where="training.device: cuda",
            do="write training.device: auto or cpu",
        )
    # A setting of cuBLAS that has no other form: without it, its sums depend on what else runs, and
    # torch refuses to be deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    return device
