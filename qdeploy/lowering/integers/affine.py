"""What the lowering knows about a tensor of the QONNX file as it follows the file's nodes.

    value[c] = gain[c] · n[c] + offset[c],   then the steps that are pending until a quantizer

n is an integer tensor of the integer graph; gain and offset are exact: every float32 is a dyadic
rational. Steps (`steps.py`) are what is no affine map of n: ReLU and its like, curves, a maximum
over windows, and the factors and terms behind them.
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
from qdeploy.lowering.integers.steps import Affine, Fractions, Leaky, Step


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
    """An integer tensor with the map to the file's float values.

    `gain` and `offset` have one entry, or one for each channel; `steps` come after them. The map is
    from the tensor as it was when these channels of it had changed sign: see `Builder.oriented`.
    """

    tensor: str
    gain: Fractions
    offset: Fractions = (Fraction(0),)
    steps: tuple[Step, ...] = ()
    turned: frozenset[int] = frozenset()

    def times(self, factor: Fractions) -> AffineTensor:
        """The tensor times a constant."""
        multiply = Fraction.__mul__
        last = self.steps[-1] if self.steps else self
        if not isinstance(last, Affine | AffineTensor):
            return self.then(Affine(factor, (Fraction(0),)))
        gain, offset = (_zip(multiply, part, factor) for part in (last.gain, last.offset))
        return self._affine(gain, offset)

    @property
    def is_integer(self) -> bool:
        """Whether the values are the integers times one scale, with nothing pending."""
        return not self.steps and not any(self.offset) and single(self.gain) is not None

    def plus(self, term: Fractions) -> AffineTensor:
        """The tensor plus a constant."""
        last = self.steps[-1] if self.steps else self
        if not isinstance(last, Affine | AffineTensor):
            return self.then(Affine((Fraction(1),), term)) if any(term) else self
        return self._affine(last.gain, _zip(Fraction.__add__, last.offset, term))

    def then(self, step: Step) -> AffineTensor:
        """The tensor with one more step."""
        return replace(self, steps=(*self.steps, step))

    def repeated(self, count: int) -> AffineTensor:
        """The map after each channel became `count` channels."""
        return replace(
            self,
            gain=_repeat(self.gain, count),
            offset=_repeat(self.offset, count),
            steps=tuple(_repeat_step(step, count) for step in self.steps),
        )

    def expanded(self, channels: int) -> tuple[Fractions, Fractions]:
        """Gain and offset with one entry for each channel."""
        return expand(self.gain, channels), expand(self.offset, channels)

    def _affine(self, gain: Fractions, offset: Fractions) -> AffineTensor:
        """The same with another last affine map."""
        if self.steps:
            return replace(self, steps=(*self.steps[:-1], Affine(gain, offset)))
        return replace(self, gain=gain, offset=offset)


Value: TypeAlias = RawInput | Constant | QuantizedConstant | AffineTensor


def fractions_of(array: npt.NDArray[Any]) -> Fractions:
    """The exact values of floats."""
    return tuple(Fraction(float(v)) for v in np.asarray(array).reshape(-1))


def single(values: Fractions) -> Fraction | None:
    """The one value all entries share, None when they differ."""
    return values[0] if all(v == values[0] for v in values) else None


def shortened(values: Fractions) -> Fractions:
    """One entry where all are the same."""
    one = single(values)
    return values if one is None else (one,)


def expand(values: Fractions, channels: int) -> Fractions:
    """One entry for each channel."""
    return values * channels if len(values) == 1 else values


def _repeat(values: Fractions, count: int) -> Fractions:
    return values if len(values) == 1 else tuple(v for v in values for _ in range(count))


def _repeat_step(step: Step, count: int) -> Step:
    if isinstance(step, Affine):
        return Affine(_repeat(step.gain, count), _repeat(step.offset, count))
    return Leaky(_repeat(step.slope, count)) if isinstance(step, Leaky) else step


def _zip(
    operation: Callable[[Fraction, Fraction], Fraction], a: Fractions, b: Fractions
) -> Fractions:
    size = max(len(a), len(b))
    return tuple(map(operation, expand(a, size), expand(b, size)))
