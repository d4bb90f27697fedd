"""Stochastic weight averaging (Izmailov et al. 2018): a phase ends with the mean of the networks
after its last epochs. Scales and batch norm's statistics are averaged like weights."""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.training.ema import Ema
from qdeploy.training.methods.method import Method

COUNT = "averaged_epochs"


class EpochMean(Method):
    """The mean over the epochs from number `first` on, counted from 0."""

    def __init__(self, network: nn.Module, first: int) -> None:
        self._mean, self._first, self._count = Ema(network, 0.0), first, 0

    def end_epoch(self, epoch: int) -> None:
        if epoch >= self._first:
            self._count += 1
            self._mean.blend(1 / self._count)

    def conclude(self) -> None:
        if self._count:
            self._mean.give()

    def tensors(self) -> dict[str, torch.Tensor]:
        if self._count == 0:
            return {}
        return {**self._mean.tensors(), COUNT: torch.tensor(self._count)}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        if COUNT in tensors:
            self._mean.restore(tensors)
            self._count = int(tensors[COUNT])
