"""From real values to the bytes that a network reads: one range for each channel or feature.

    t = (x - low) · factor        factor = 255 / 256 / (high - low), rounded to float32
    code = round(256 · t), half to even, from 0 to 255

Both operations of t are those of float32, as the exported file has them before its first quantizer:
the codes that the training sees are those that the file, and the driver of a package, give the same
values.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

FloatArray = npt.NDArray[np.float32]
_STEPS = 256


@dataclass(frozen=True)
class Scaling:
    """The ranges of the rows: channels of images and series, features of vectors.

    Args:
        low: value of code 0, of each row.
        high: value of code 255.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    @staticmethod
    def of(values: FloatArray, clip: float) -> Scaling:
        """The ranges of values (N, C, H, W), from the smallest to the largest of a row.

        Args:
            clip: share of a row's values that may lie below its range, and above it. A row of one
                value has a range that begins there.
        """
        rows = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1).astype(np.float64)
        low, high = np.quantile(rows, [clip, 1 - clip], axis=1)
        # As float32 the ends of a range of nearly one value may be equal.
        flat = ~(high.astype(np.float32) > low.astype(np.float32))
        high = np.where(flat, low + np.maximum(1.0, np.abs(low)), high)
        return Scaling(tuple(map(float, low)), tuple(map(float, high)))

    @property
    def offset(self) -> FloatArray:
        """What is subtracted, (rows,)."""
        return np.array(self.low, dtype=np.float32)

    @property
    def factor(self) -> FloatArray:
        """What the difference is multiplied by, (rows,)."""
        width = np.array(self.high) - np.array(self.low)
        return ((_STEPS - 1) / _STEPS / width).astype(np.float32)

    def codes(self, values: FloatArray) -> npt.NDArray[np.uint8]:
        """Bytes (N, C, H, W) of finite values of that shape."""
        shape = (-1, 1, 1)
        with np.errstate(over="ignore"):
            scaled = (values - self.offset.reshape(shape)) * self.factor.reshape(shape) * _STEPS
        return np.clip(np.rint(scaled), 0, _STEPS - 1).astype(np.uint8)


class RealInput(nn.Module):
    """What turns real values into a network's input, as a hook that is called before the network:
    names of modules stay the same."""

    offset: torch.Tensor
    factor: torch.Tensor

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        shape = (-1, 1, 1)
        self.register_buffer("offset", torch.from_numpy(scaling.offset).reshape(shape))
        self.register_buffer("factor", torch.from_numpy(scaling.factor).reshape(shape))

    def forward(self, network: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        """Real values (N, C, H, W) as the network takes them."""
        return ((inputs[0] - self.offset) * self.factor,)


def reads_real_values(network: nn.Module, scaling: Scaling) -> nn.Module:
    """A copy of the network that takes real values."""
    network = copy.deepcopy(network)
    network.register_forward_pre_hook(RealInput(scaling))
    return network
