"""From what a network puts out to the numbers that it was trained to predict: regression.

Networks learn (y - mean) / scale of each target, with mean and standard deviation of the training
set. The exported file ends with the two operations that lead back,

    y = output · scale + mean,

so that the integers of the last layer come with the gain and offset of the real numbers.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Targets = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TargetScaling:
    """Mean and scale of each target; both have one number for each."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @staticmethod
    def of(values: npt.NDArray[np.floating]) -> TargetScaling:
        """Those of a training set, (N, targets); a target of one value has scale 0."""
        wide = values.astype(np.float64)
        return TargetScaling(
            tuple(map(float, wide.mean(0))), tuple(map(float, wide.std(0).astype(np.float32)))
        )

    def normalized(self, values: npt.NDArray[np.floating]) -> Targets:
        """What the network learns, (N, targets)."""
        wide = (values.astype(np.float64) - np.array(self.mean)) / np.array(self.scale)
        return wide.astype(np.float32)

    def real(self, outputs: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """The numbers themselves, (N, targets), of what a network puts out."""
        return outputs.astype(np.float64) * np.array(self.scale) + np.array(self.mean)


class RealOutput(nn.Module):
    """What turns a network's output into real numbers, as a hook that is called after it."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, targets: TargetScaling) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(targets.mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(targets.scale, dtype=torch.float32))

    def forward(
        self, network: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor
    ) -> torch.Tensor:
        """Real numbers (N, targets)."""
        return output * self.scale + self.mean


def gives_real_numbers(network: nn.Module, targets: TargetScaling) -> nn.Module:
    """A copy of the network that puts out real numbers."""
    network = copy.deepcopy(network)
    network.register_forward_hook(RealOutput(targets))
    return network
