"""What the lowering knows about a tensor of the QONNX file as it follows the file's nodes.

    value[c] = gain[c] · n[c] + offset[c],   then max(value, 0) if a ReLU is pending

n is an integer tensor of the integer graph; gain and offset are exact: every float32 is a dyadic
rational.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray
from qdeploy.lowering.integers.raw_input import RawInput

Fractions: TypeAlias = tuple[Fraction, ...]


@dataclass(frozen=True)
class Constant:
    """A float constant of the file."""

    array: npt.NDArray[Any]


@dataclass(frozen=True)
class QuantizedConstant:
    """A constant after its Quant node: value = scale · codes; `scale` broadcasts over `codes`."""

    codes: IntArray
    scale: npt.NDArray[Any]

    def transposed(self, axes: Sequence[int] | None) -> QuantizedConstant:
        """Codes and scales with permuted axes."""
        scale = np.broadcast_to(self.scale, self.codes.shape)
        return QuantizedConstant(self.codes.transpose(axes), scale.transpose(axes))


@dataclass(frozen=True)
class AffineTensor:
    """An integer tensor with the affine map to the file's float values.

    `gain` and `offset` have one entry, or one for each channel.
    """

    tensor: str
    gain: Fractions
    offset: Fractions = (Fraction(0),)
    rectified: bool = False

    def times(self, factor: Fractions) -> AffineTensor:
        """The tensor times a constant."""
        multiply = Fraction.__mul__
        return replace(
            self, gain=_zip(multiply, self.gain, factor), offset=_zip(multiply, self.offset, factor)
        )

    @property
    def is_integer(self) -> bool:
        """Whether the values are the integers times one scale, with nothing pending."""
        return not self.rectified and not any(self.offset) and single(self.gain) is not None

    def plus(self, term: Fractions) -> AffineTensor:
        """The tensor plus a constant."""
        return replace(self, offset=_zip(Fraction.__add__, self.offset, term))

    def repeated(self, count: int) -> AffineTensor:
        """The map after each channel became `count` channels."""
        return replace(self, gain=_repeat(self.gain, count), offset=_repeat(self.offset, count))

    def expanded(self, channels: int) -> tuple[Fractions, Fractions]:
        """Gain and offset with one entry for each channel."""
        return expand(self.gain, channels), expand(self.offset, channels)


Value: TypeAlias = RawInput | Constant | QuantizedConstant | AffineTensor


def fractions_of(array: npt.NDArray[Any]) -> Fractions:
    """The exact values of floats."""
    return tuple(Fraction(float(v)) for v in np.asarray(array).reshape(-1))


def single(values: Fractions) -> Fraction | None:
    """The one value all entries share, None when they differ."""
    return values[0] if all(v == values[0] for v in values) else None


def expand(values: Fractions, channels: int) -> Fractions:
    """One entry for each channel."""
    return values * channels if len(values) == 1 else values


def _repeat(values: Fractions, count: int) -> Fractions:
    return values if len(values) == 1 else tuple(v for v in values for _ in range(count))


def _zip(
    operation: Callable[[Fraction, Fraction], Fraction], a: Fractions, b: Fractions
) -> Fractions:
    size = max(len(a), len(b))
    return tuple(map(operation, expand(a, size), expand(b, size)))
