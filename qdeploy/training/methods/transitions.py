"""A learning rate that is steered by how many weights change their code (transition rate
scheduling, Lee et al. 2025).

    k    share of the weights whose code an update has changed
    K <- m · K + (1 - m) · k
    U <- max(0, U + η · (R - K))          the rate of the weights in the next update

The target R falls from λ·sqrt(b) to 0 along half a cosine, for weights of b bits. Layers of more
than 4 bits, whose codes change all the time, do not count, unless there are no others. K starts at
the target and U at the optimizer's rate. Scales, norms and biases have the optimizer's rate along
half a cosine. Steps of weights are fixed.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import nn

from qdeploy.recipe.schedules import TransitionSchedule
from qdeploy.training.methods.method import Method
from qdeploy.training.methods.oscillation import along_cosine
from qdeploy.training.methods.weight_codes import quantized_weights

MOST_BITS = 4
STATE = "transitions"


class TransitionRate(Method):
    """Sets the rate of the optimizer's first group, the weights.

    Args:
        lr: the optimizer's rate.
        steps: of the phase.
    """

    def __init__(
        self, network: nn.Module, schedule: TransitionSchedule, lr: float, steps: int
    ) -> None:
        layers = quantized_weights(network)
        few = [layer for layer in layers if layer.bits <= MOST_BITS]
        self._layers, self._schedule, self._steps = few or layers, schedule, steps
        counts = [layer.weight.numel() for layer in self._layers]
        self._count = sum(counts)
        bits = [sqrt(layer.bits) for layer in self._layers]
        mean = sum(a * b for a, b in zip(counts, bits, strict=True)) / self._count
        self._first = schedule.factor * mean
        self._seen, self._rate = self._first, lr
        self._codes: list[torch.Tensor] = []

    def begin_epoch(self, epoch: int) -> None:
        # Codes are those of the weights: nothing to store, and steps may have been chosen anew.
        self._codes = self._now()

    def rate(self, optimizer: torch.optim.Optimizer, step: int, rate: float) -> float:
        optimizer.param_groups[0]["lr"] = self._rate
        return self._rate

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        codes = self._now()
        changed = [(one != other).sum() for one, other in zip(codes, self._codes, strict=True)]
        share = int(torch.stack(changed).sum()) / self._count
        self._codes = codes
        m, target = self._schedule.momentum, along_cosine(self._first, 0.0, step / self._steps)
        self._seen = m * self._seen + (1 - m) * share
        self._rate = max(0.0, self._rate + self._schedule.gain * (target - self._seen))

    def tensors(self) -> dict[str, torch.Tensor]:
        return {STATE: torch.tensor([self._seen, self._rate], dtype=torch.float64)}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        self._seen, self._rate = tensors[STATE].tolist()

    def _now(self) -> list[torch.Tensor]:
        return [layer.codes(layer.in_steps()).to(torch.int8) for layer in self._layers]
