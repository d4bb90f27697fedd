"""Exponential moving average of a network over training steps.

    mean <- d_t · mean + (1 - d_t) · value,    d_t = min(decay, (1 + t) / (10 + t))

d_t rises from 0.1, so that a phase's first weights do not stay in the mean. Learned scales and
batch norm's statistics are averaged like weights; counters are not averaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

EMA = "ema/"


class Ema:
    """The mean of a network's state.

    Args:
        network: its parameters and buffers are followed in place; do not load a state into it
            afterwards.
        decay: of `update`, below 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = {name: value.detach() for name, value in network.state_dict().items()}
        self._mean = {name: value.clone() for name, value in self._live.items()}
        self._floats = [name for name, value in self._live.items() if value.is_floating_point()]

    def update(self, step: int) -> None:
        """Average in the state after `step`, counted from 0 at the start of the phase."""
        self.blend(1.0 - min(self.decay, (1 + step) / (10 + step)))

    def blend(self, share: float) -> None:
        """Average in the state as it is; it is this `share` of the mean."""
        torch._foreach_lerp_(
            [self._mean[name] for name in self._floats],
            [self._live[name] for name in self._floats],
            share,
        )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the network has the mean as its state; afterwards, its own again."""
        kept = {name: value.clone() for name, value in self._live.items()}
        self.give()
        try:
            yield
        finally:
            self._copy(kept)

    def give(self) -> None:
        """Make the mean the network's state, for good."""
        self._copy({name: self._mean[name] for name in self._floats})

    def tensors(self) -> dict[str, torch.Tensor]:
        """The mean as named tensors for a checkpoint."""
        return {EMA + name: self._mean[name].clone() for name in self._floats}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take the mean from a checkpoint's tensors."""
        for name in self._floats:
            self._mean[name].copy_(tensors[EMA + name])

    def _copy(self, values: dict[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self._live[name].copy_(value)
