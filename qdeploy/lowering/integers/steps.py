"""What may stand between a layer's sums and a quantizer: steps that never fall, or never rise.

    v = f_m(… f_2(f_1(g·n + b)))      code >= k  <=>  v >= e_k  (or v > e_k)

A condition on v becomes one on n by going back through the steps, each inverse exact:

    affine  g·u + b      u >= (e - b)/g; for g < 0 the other way round; g = 0 decides at once
    clamp   [lo, hi]     ReLU, Clip: decided at once for e outside, else u >= e
    leaky   a·u, u < 0   LeakyRelu and PRelu with a > 0: u >= e/a for e < 0
    curve   sigmoid      u >= ln(e / (1 - e));      sigmoid(0) = 1/2
            tanh         u >= ln((1 + e)/(1 - e))/2;     tanh(0) = 0
    pool                 a maximum over a window commutes with everything that never falls
    placed               affine, with numbers for each kind of place at the border of a map

The contract for sigmoid and tanh is the exact real function, not a float implementation of it. Both
inverses are irrational for every rational e but the one above (Lindemann), so no integer n is on an
edge: the logarithm is bracketed between two decimals, correctly rounded, of more and more digits,
until both ends give the same thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from math import ceil, floor
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray
from qdeploy.lowering.integers.quantizer import BoolArray, Quantizer

Fractions: TypeAlias = tuple[Fraction, ...]


@dataclass(frozen=True)
class Affine:
    """gain[c]·u + offset[c]; one entry, or one for each channel."""

    gain: Fractions
    offset: Fractions

    def sign(self, channel: int) -> int:
        """-1 where the step falls, else +1."""
        return -1 if _of(self.gain, channel) < 0 else 1


@dataclass(frozen=True)
class Clamp:
    """min(max(u, lo), hi), None for no limit."""

    lo: Fraction | None = None
    hi: Fraction | None = None


@dataclass(frozen=True)
class Leaky:
    """u for u >= 0, slope[c]·u below; slopes are positive."""

    slope: Fractions


@dataclass(frozen=True)
class Curve:
    """A curve without corners that rises everywhere."""

    kind: Literal["sigmoid", "tanh"]


@dataclass(frozen=True)
class Pooled:
    """The maximum over a window, before the quantizer; see `MaxPool` of the integer graph."""

    layer: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]


@dataclass(frozen=True)
class Placed:
    """factor[k]·u + offset[k] at places of rank k; see `places.py`.

    Args:
        ranks: the stream of ranks.
        factors: positive, one for each rank.
        offsets: for each rank, one entry or one for each channel.
    """

    ranks: str
    factors: Fractions
    offsets: tuple[Fractions, ...]


Step: TypeAlias = Affine | Clamp | Leaky | Curve | Pooled | Placed
RELU = Clamp(lo=Fraction(0))


def direction(steps: Sequence[Step], channel: int) -> int:
    """-1 where the steps together fall, else +1."""
    result = 1
    for step in steps:
        if isinstance(step, Affine):
            result *= step.sign(channel)
    return result


def at_each_place(steps: Sequence[Step]) -> list[tuple[Step, ...]]:
    """The steps at each kind of place, all of them the same everywhere."""
    for number, step in enumerate(steps):
        if isinstance(step, Placed):
            return [
                (*steps[:number], Affine((factor,), offset), *steps[number + 1 :])
                for factor, offset in zip(step.factors, step.offsets, strict=True)
            ]
    return [tuple(steps)]


def value_of(steps: Sequence[Step], channel: int, value: Fraction) -> Fraction | None:
    """The value after all steps, None after a curve, whose values are irrational."""
    for step in steps:
        match step:
            case Affine():
                value = _of(step.gain, channel) * value + _of(step.offset, channel)
            case Clamp():
                value = value if step.lo is None else max(value, step.lo)
                value = value if step.hi is None else min(value, step.hi)
            case Leaky():
                value = value * _of(step.slope, channel) if value < 0 else value
            case Curve():
                return None
    return value


@dataclass(frozen=True)
class Conditions:
    """For one channel, a condition for each code: u >= e (included) or u > e.

    Where `rising` is false: u <= e or u < e.

    e = numerators / denominator. Where `always` or `never` holds, e means nothing.
    """

    numerators: npt.NDArray[Any]  # of int
    denominator: int
    included: BoolArray
    always: BoolArray
    never: BoolArray
    rising: bool = True
    exact: bool = field(default=True)

    @staticmethod
    def of(quantizer: Quantizer) -> Conditions:
        """What a value has to be for every code of a quantizer but its lowest."""
        return Conditions(*quantizer.value_edges())

    def before(self, steps: Sequence[Step], channel: int, digits: int, upper: bool) -> Conditions:
        """The same conditions on what goes into the steps.

        Args:
            digits: of the logarithms in curves.
            upper: round what is irrational up, towards the codes' upper side, else down.
        """
        found = self
        for step in reversed(steps):
            match step:
                case Affine():
                    found = found._before_affine(_of(step.gain, channel), _of(step.offset, channel))
                case Clamp():
                    found = found._before_clamp(step)
                case Leaky():
                    slope = _of(step.slope, channel)
                    factor = np.where(found.numerators < 0, slope.denominator, slope.numerator)
                    found = replace(
                        found,
                        numerators=found.numerators * factor.astype(object),
                        denominator=found.denominator * slope.numerator,
                    )
                case Curve():
                    # Below a step that falls, the other side of the logarithm is the careful one.
                    found = found._before_curve(step.kind, digits, upper == found.rising)
        return found

    def thresholds(self, lo: int, hi: int) -> IntArray:
        """The smallest integer n in [lo, hi] that meets each condition, hi + 1 for none."""
        down = self.numerators // self.denominator
        whole = self.numerators % self.denominator == 0
        found = np.where(whole & self.included, down, down + 1)
        found = np.where(self.always, lo, np.where(self.never, hi + 1, found))
        return np.clip(found, lo, hi + 1).astype(np.int64)

    def _before_affine(self, gain: Fraction, offset: Fraction) -> Conditions:
        if gain == 0:
            # The value is the offset; compare it with every edge.
            difference = offset.numerator * self.denominator - self.numerators * offset.denominator
            holds = np.asarray(difference > 0 if self.rising else difference < 0, dtype=bool)
            holds |= np.asarray(difference == 0, dtype=bool) & self.included
            always = self.always | (holds & ~self.never)
            return replace(self, always=always, never=~always)
        numerators = self.numerators * offset.denominator - offset.numerator * self.denominator
        numerators = numerators * gain.denominator
        denominator = self.denominator * offset.denominator * gain.numerator
        if denominator < 0:
            numerators, denominator = -numerators, -denominator
        rising = self.rising == (gain > 0)
        return replace(self, numerators=numerators, denominator=denominator, rising=rising)

    def _before_clamp(self, step: Clamp) -> Conditions:
        always, never = self.always.copy(), self.never.copy()
        for limit, met in ((step.lo, self.rising), (step.hi, not self.rising)):
            if limit is None:
                continue
            # The limit meets the condition: everything does. It does not, at the other end: none.
            gap = limit.numerator * self.denominator - self.numerators * limit.denominator
            beyond = np.asarray(gap > 0 if self.rising else gap < 0, dtype=bool)
            beyond |= np.asarray(gap == 0, dtype=bool) & self.included
            if met:
                always |= beyond & ~self.never
            else:
                never |= ~beyond & ~self.always
        return replace(self, always=always, never=never)

    def _before_curve(self, kind: str, digits: int, upper: bool) -> Conditions:
        low, high = (0, 1) if kind == "sigmoid" else (-1, 1)
        known = self.always | self.never
        below = np.asarray(self.numerators <= low * self.denominator, dtype=bool) & ~known
        above = np.asarray(self.numerators >= high * self.denominator, dtype=bool) & ~known
        always = self.always | (below if self.rising else above)
        never = self.never | (above if self.rising else below)
        numerators = np.array(
            [
                0 if done else _inverse(kind, Fraction(int(n), self.denominator), digits, upper)
                for n, done in zip(self.numerators, known | below | above, strict=True)
            ],
            dtype=object,
        )
        return replace(
            self,
            numerators=numerators,
            denominator=10**digits,
            always=always,
            never=never,
            exact=False,
        )


@cache
def _inverse(kind: str, value: Fraction, digits: int, upper: bool) -> int:
    """The inverse of a curve in units of 10^-digits, rounded up or down but for the exact 0."""
    half = 1 if kind == "sigmoid" else 2
    part = value.numerator + (half - 1) * value.denominator
    rest = value.denominator - value.numerator
    if part == rest:
        return 0
    # ln(a) and ln(b), each correctly rounded: less than one unit of the last digit from the truth.
    context, wide = Context(prec=digits + 10), Context(prec=4 * digits + 40)
    a, b = (context.ln(Decimal(n)) for n in (part, rest))
    error = sum(Fraction(10) ** (max(n.adjusted(), 0) - digits - 9) for n in (a, b))
    found = Fraction(wide.subtract(a, b)) + (error if upper else -error)
    grid = found * 10**digits / half
    return ceil(grid) if upper else floor(grid)


def _of(values: Fractions, channel: int) -> Fraction:
    return values[0] if len(values) == 1 else values[channel]
