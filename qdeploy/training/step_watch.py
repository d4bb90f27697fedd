"""Whether the numbers of a training stay finite, without waiting for a GPU in every step.

On a CPU a number is there as soon as it is computed: each is looked at before the optimizer takes
it in. A GPU computes what it was told some steps ago; asking it for a number makes both wait. There
the numbers of many steps are collected on the device and fetched at once: a divergence is noticed
some steps late, but its step is known, and nothing is saved in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from qdeploy.errors import TrainingError
from qdeploy.training.divergence import FiniteChecks
from qdeploy.training.workers import Workers

STEPS_ON_A_DEVICE = 64


class StepWatch:
    """Looks at what a training computes.

    Args:
        network: its parameters and buffers stay the same tensors.
        workers: the processes that train together; all see the same steps.
        diverged: the error for what is not finite, and the number of its step.
        every: steps between two looks; by default 1 on a CPU and `STEPS_ON_A_DEVICE` elsewhere.
    """

    def __init__(
        self,
        network: nn.Module,
        workers: Workers,
        diverged: Callable[[str, int], TrainingError],
        every: int | None = None,
    ) -> None:
        self._finite = FiniteChecks(network)
        self._workers = workers
        self._diverged = diverged
        usual = 1 if workers.device.type == "cpu" else STEPS_ON_A_DEVICE
        self._every = usual if every is None else every
        self._waiting: list[tuple[str, int, torch.Tensor]] = []

    def value(self, what: str, value: torch.Tensor, step: int) -> None:
        """A number of a step.

        Raises:
            TrainingError: when it is not finite, or an earlier one was not.
        """
        if self._every == 1 and self._workers.world == 1:
            if not math.isfinite(value.item()):
                raise self._diverged(what, step)
            return
        self._waiting.append((what, step, value.detach()))
        if self._every == 1:
            self.look()

    def gradients(self, step: int) -> None:
        """The gradients of a step and the network's running statistics.

        Raises:
            TrainingError: when one is not finite, or an earlier number was not.
        """
        if self._every == 1:
            found = self._finite.divergent()
            if not self._workers.all_true(found is None):
                raise self._diverged(found or "gradient of another process", step)
            return
        self._waiting.append(("gradient or running statistic", step, self._finite.largest()))
        if self.looks_after(step):
            self.look()

    def looks_after(self, step: int) -> bool:
        """Whether the numbers of this step are fetched right after it."""
        return (step + 1) % self._every == 0

    def look(self) -> None:
        """Fetch what was collected.

        Raises:
            TrainingError: when a number is not finite, for the first one.
        """
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        finite = torch.isfinite(torch.stack([value.float() for _, _, value in waiting])).tolist()
        broken = [
            (what, step) for (what, step, _), good in zip(waiting, finite, strict=True) if not good
        ]
        if not self._workers.all_true(not broken):
            raise self._diverged(
                *(broken[0] if broken else ("number of another process", waiting[-1][1]))
            )
