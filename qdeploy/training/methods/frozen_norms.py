"""Training with batch norm's statistics as they will be deployed.

In training a norm uses the mean and the variance of its batch, on the board those of all batches. A
value that crosses a threshold changes its code, so with few bits the two may differ much: then the
network that learned is not the one that is deployed, whichever images the statistics are of. With
fixed statistics both compute the same (Krishnamoorthi 2018, who freezes them towards the end).

What is learned without the norms' balance is sensitive to the rate: one that retraining bears may
lose everything here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from qdeploy.training.methods.method import Method
from qdeploy.training.methods.recalibrate import recalibrate
from qdeploy.training.workers import Workers


class FrozenNorms(Method):
    """Recomputes the statistics before the first epoch; after that they stay.

    Args:
        network: changed in place.
        batches: as `recalibrate` takes them; None where the statistics stay as they are.
        workers: likewise.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Callable[[], Iterable[torch.Tensor]] | None,
        workers: Workers,
    ) -> None:
        self._network, self._batches, self._workers = network, batches, workers
        self._norms = [
            one for one in network.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)
        ]

    def begin_epoch(self, epoch: int) -> None:
        if epoch == 0 and self._batches is not None:
            recalibrate(self._network, self._batches, self._workers)
        for norm in self._norms:
            norm.eval()
