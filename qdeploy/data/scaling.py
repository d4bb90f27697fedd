"""From real values to the codes that a network reads: one range for each channel or feature.

    t = (x - offset) · factor        factor = (2^b - 1) / 2^b / (high - low), rounded to float32
    code = round(2^b · t), half to even

    unsigned    offset = low; codes 0 to 2^b - 1
    signed      offset is the value of code 0: the mean, or low + 2^(b-1) steps; codes -2^(b-1) to
                2^(b-1) - 1

Both operations of t are those of float32, as the exported file has them before its first quantizer:
the codes that the training sees are those that the file, and the driver of a package, give the same
values. Data sets hold codes as bytes: (code - lowest) · 2^(8 - b).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from qdeploy.recipe.own_data import RealData

FloatArray = npt.NDArray[np.float32]
Row = tuple[float, ...]


@dataclass(frozen=True)
class Scaling:
    """The ranges of the rows: channels of images and series, features of vectors.

    Args:
        low: value of the lowest code, of each row.
        high: value of the highest code.
        bits: of a code, 1 to 8.
        signed: whether codes have both signs; 2 bits at least.
        mean, scale: what the range was made of, by `standard`; None where it was given itself.
    """

    low: Row
    high: Row
    bits: int = 8
    signed: bool = False
    mean: Row | None = None
    scale: Row | None = None

    @staticmethod
    def of(values: FloatArray, clip: float, bits: int = 8, *, signed: bool = False) -> Scaling:
        """The ranges of values (N, C, H, W), from the smallest to the largest of a row.

        Args:
            clip: share of a row's values that may lie below its range, and above it. A row of one
                value has a range that begins there.
        """
        low, high = np.quantile(_rows(values), [clip, 1 - clip], axis=1)
        # As float32 the ends of a range of nearly one value may be equal.
        flat = ~(high.astype(np.float32) > low.astype(np.float32))
        high = np.where(flat, low + np.maximum(1.0, np.abs(low)), high)
        return Scaling(tuple(map(float, low)), tuple(map(float, high)), bits, signed)

    @staticmethod
    def standard(
        mean: Row, scale: Row, limit: float, bits: int = 8, *, signed: bool = False
    ) -> Scaling:
        """Ranges of `limit` times `scale` on both sides of `mean`.

        With signed codes, of which there is one more below 0 than above it, `high` is at that
        distance, and `low` a step further.
        """
        reach = [limit * one for one in scale]
        beyond = [one / (2 ** (bits - 1) - 1) if signed else 0.0 for one in reach]
        parts = list(zip(mean, reach, beyond, strict=True))
        low = tuple(middle - most - step for middle, most, step in parts)
        high = tuple(middle + most for middle, most, _ in parts)
        return Scaling(low, high, bits, signed, mean, scale)

    @staticmethod
    def learned(values: FloatArray, data: RealData) -> Scaling:
        """The scaling of training frames (N, C, H, W), as the recipe's section wants it.

        A row of one value has it as mean, and its magnitude, 1 at least, as scale.
        """
        if not data.standard:
            return Scaling.of(values, data.clip, data.bits, signed=data.signed)
        rows = _rows(values)
        mean, scale = rows.mean(axis=1), rows.std(axis=1)
        # Less than this is rounding, of values that are one.
        flat = scale <= np.maximum(np.abs(mean), 1e-30) * 1e-6
        scale = np.where(flat, np.maximum(1.0, np.abs(mean)), scale)
        given = tuple(map(float, mean)), tuple(map(float, scale))
        return Scaling.standard(*given, data.limit, data.bits, signed=data.signed)

    @staticmethod
    def of_section(data: RealData) -> Scaling | None:
        """The scaling that a recipe's section has; None where it is to be learned, or there are no
        real values."""
        if data.mean is not None and data.scale is not None:
            return Scaling.standard(
                data.mean, data.scale, data.limit, data.bits, signed=data.signed
            )
        if data.low is not None and data.high is not None:
            return Scaling(data.low, data.high, data.bits, data.signed)
        return None

    def facts(self) -> dict[str, Any]:
        """What a recipe's section has to have for this scaling, besides what it had before."""
        if self.mean is not None:
            return {"mean": self.mean, "scale": self.scale}
        return {"low": self.low, "high": self.high}

    @property
    def lowest(self) -> int:
        """The lowest code."""
        return -(2 ** (self.bits - 1)) if self.signed else 0

    @property
    def offset(self) -> FloatArray:
        """What is subtracted, (rows,): the value of code 0."""
        if not self.signed:
            return np.array(self.low, dtype=np.float32)
        if self.mean is not None:
            return np.array(self.mean, dtype=np.float32)
        low, high = np.array(self.low), np.array(self.high)
        return (low + (high - low) / (2**self.bits - 1) * -self.lowest).astype(np.float32)

    @property
    def factor(self) -> FloatArray:
        """What the difference is multiplied by, (rows,)."""
        width = np.array(self.high) - np.array(self.low)
        codes = 2**self.bits
        return ((codes - 1) / codes / width).astype(np.float32)

    def codes(self, values: FloatArray) -> npt.NDArray[np.int64]:
        """Codes (N, C, H, W) of finite values of that shape."""
        shape = (-1, 1, 1)
        with np.errstate(over="ignore"):
            scaled = (values - self.offset.reshape(shape)) * self.factor.reshape(shape)
            scaled = np.rint(scaled * np.float32(2**self.bits))
        highest = self.lowest + 2**self.bits - 1
        return np.clip(scaled, self.lowest, highest).astype(np.int64)

    def bytes(self, values: FloatArray) -> npt.NDArray[np.uint8]:
        """The codes of values as data sets hold them, (N, C, H, W)."""
        return ((self.codes(values) - self.lowest) << (8 - self.bits)).astype(np.uint8)


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
    """A copy of the network that takes real values, which it gets as t."""
    network = copy.deepcopy(network)
    network.register_forward_pre_hook(RealInput(scaling))
    return network


def _rows(values: FloatArray) -> npt.NDArray[np.float64]:
    """Values (N, C, H, W) as (C, all of a row)."""
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1).astype(np.float64)
