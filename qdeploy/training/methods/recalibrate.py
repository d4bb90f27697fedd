"""Recalibration of batch norm's statistics, since quantization changes the input of a norm.

Means and variances become those of a norm's inputs in the network as it will be deployed, where all
norms before it have their final statistics already; nothing else changes. In training each batch is
normalized by its own statistics: with few bits a value that crosses a threshold changes its code,
so averages over batches of such a pass are those of another network. Directly quantized ones gain
most, and those whose weights still jump between codes, which moving averages lag behind.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from qdeploy.data.dataset import Dataset
from qdeploy.training.batches import Batching, steps_per_epoch, training_batches
from qdeploy.training.methods.method import Method
from qdeploy.training.modes import set_mode
from qdeploy.training.workers import ALONE, Workers

# Before the test of an epoch: times images of an epoch over norms. Each norm's pass goes half
# through the network on average, a step of training is three: a tenth of the time of training.
JUDGED_SHARE = 0.6


class Recalibration(Method):
    """Recomputes the statistics at the end of a phase, and, on fewer images, before the test of
    each epoch: moving averages differ by more than the weights of one epoch from those of the next,
    and the best epoch would be the luckiest.

    Args:
        network: changed in place.
        batches: gives so many images, as `recalibrate` takes them.
        images: at the end.
        epoch: images of an epoch of training.
        workers: as `recalibrate` takes them.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Callable[[int], Iterable[torch.Tensor]],
        images: int,
        epoch: int,
        workers: Workers,
    ) -> None:
        self._network, self._batches, self._images = network, batches, images
        self._workers = workers
        norms = sum(isinstance(module, _BatchNorm) for module in network.modules())
        self._judged = min(images, int(JUDGED_SHARE * epoch / max(norms, 1)))

    def judge(self) -> None:
        self._recalibrate(self._judged)

    def settle(self) -> None:
        self._recalibrate(self._images)

    def _recalibrate(self, images: int) -> None:
        recalibrate(self._network, partial(self._batches, images), self._workers)


def recalibration_batches(
    dataset: Dataset, batching: Batching, place: tuple[int, int], images: int, workers: Workers
) -> Iterator[torch.Tensor]:
    """Network inputs of about so many training `images`, in whole batches of all processes, and of
    each what goes through the network at once.

    Args:
        batching: without what a phase adds to it: images are whole.
        place: number of a phase and an epoch, which decide the images.
    """
    wanted = min(images, len(dataset.train))
    batches = training_batches(dataset, batching, *place, workers.shard, device=workers.device)
    for inputs, _ in islice(batches, steps_per_epoch(wanted, batching.batch_size)):
        yield from inputs.chunk(batching.parts)


def recalibrate(
    network: nn.Module, batches: Callable[[], Iterable[torch.Tensor]], workers: Workers = ALONE
) -> int:
    """Replace the running statistics of every batch norm of `network` by those of its inputs in the
    network as it is deployed, in place: one norm after the other, in the order in which they are
    computed, each behind norms that have their final statistics.

    Args:
        network: left in the mode it was in.
        batches: gives the network's inputs, (N, C, H, W) each, the same at every call, once for
            each norm; not called where there is none.
        workers: the processes that have their own parts of the batches.

    Returns:
        The number of images; with 0 the statistics stay as they were.
    """
    if not any(isinstance(module, _BatchNorm) for module in network.modules()):
        return 0
    was_training = network.training
    set_mode(network, training=False)
    try:
        with torch.no_grad():
            first = next(iter(batches()), None)
            if first is None:
                return 0
            calls = Counter(_norms_called(network, first))
            for norm, times in calls.items():
                _set_statistics(network, norm, times, batches(), workers)
            return sum(len(batch) for batch in batches())
    finally:
        set_mode(network, training=was_training)


class _EnoughError(Exception):
    """The rest of the network is not needed."""


def _norms_called(network: nn.Module, batch: torch.Tensor) -> list[_BatchNorm]:
    """Batch norms in the order in which they are computed; those used again stand again."""
    found: list[_BatchNorm] = []
    hooks = [
        module.register_forward_pre_hook(lambda norm, _: found.append(norm))
        for module in network.modules()
        if isinstance(module, _BatchNorm)
    ]
    try:
        network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _set_statistics(
    network: nn.Module,
    norm: _BatchNorm,
    times: int,
    batches: Iterable[torch.Tensor],
    workers: Workers,
) -> None:
    """Means and variances over all inputs of `norm`, which a batch reaches so many `times`."""
    assert norm.running_mean is not None and norm.running_var is not None
    sums = norm.running_mean.new_zeros((3, norm.num_features), dtype=torch.float64)
    left = times

    def count(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal left
        values = inputs[0].double().transpose(0, 1).flatten(1)
        sums[0] += values.shape[1]
        sums[1] += values.sum(1)
        sums[2] += values.square().sum(1)
        left -= 1
        if not left:
            raise _EnoughError

    hook = norm.register_forward_pre_hook(count)
    try:
        for batch in batches:
            left = times
            with contextlib.suppress(_EnoughError):
                network(batch)
    finally:
        hook.remove()
    number, total, squares = workers.add(sums)
    mean = total / number
    norm.running_mean.copy_(mean)
    norm.running_var.copy_((squares / number - mean.square()).clamp_(min=0))
