"""The best epoch of a phase on the validation split, and when to stop waiting for a better one."""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.training.objective import Score

BEST = "best/"
EPOCH, FIGURE = "best_epoch", "best_figure"


class BestEpoch:
    """The state of a network after the epoch that was best so far.

    Of two equal ones the later is better: it was trained for longer.

    Args:
        network: its state is read and written in place.
        patience: epochs without a better one after which a phase ends; 0 is no end.
    """

    def __init__(self, network: nn.Module, patience: int = 0) -> None:
        self.epoch = 0
        self._figure = float("-inf")
        self._patience = patience
        self._live = {name: value.detach() for name, value in network.state_dict().items()}
        self._state: dict[str, torch.Tensor] = {}

    def see(self, epoch: int, score: Score) -> None:
        """The network has this score on the validation split after `epoch` epochs, from 1."""
        figure = score.figure
        if figure >= self._figure:
            self.epoch, self._figure = epoch, figure
            self._state = {name: value.clone() for name, value in self._live.items()}

    def waited_enough(self, epoch: int) -> bool:
        """Whether the phase ends after `epoch` epochs."""
        return 0 < self._patience <= epoch - self.epoch

    def give(self) -> None:
        """Make the best state the network's, for good."""
        for name, value in self._state.items():
            self._live[name].copy_(value)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What it knows, as named tensors for a checkpoint."""
        return {
            EPOCH: torch.tensor(self.epoch),
            FIGURE: torch.tensor(self._figure, dtype=torch.float64),
            **{BEST + name: value.clone() for name, value in self._state.items()},
        }

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take it from a checkpoint's tensors.

        Raises:
            KeyError: it is not in them.
        """
        self.epoch, self._figure = int(tensors[EPOCH]), float(tensors[FIGURE])
        self._state = {name: tensors[BEST + name].clone() for name in self._live}
