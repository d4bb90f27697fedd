"""Activation functions in exact arithmetic, with what a float32 engine may be off.

Each takes (values, sizes, roundings, attributes, slopes) of its argument and gives values, sizes
and roundings of its result, as `Exact` has them. Values of sigmoid and tanh are irrational: they
are given to `DIGITS` digits, far beyond any distance to an edge that float32 tells apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

DIGITS = 60
# Engines compute curves by rational functions; these stay within as many roundings of 1.
_OF_CURVES = 16
Values: TypeAlias = npt.NDArray[Any]
Sizes: TypeAlias = npt.NDArray[np.float64]
Result: TypeAlias = tuple[Values, Sizes, int]


def _clip(
    values: Values, sizes: Sizes, roundings: int, attributes: Mapping[str, Any], _: Values | None
) -> Result:
    lo, hi = (attributes.get(key) for key in ("min", "max"))
    largest = float(np.finfo(np.float32).max)

    def clipped(value: Fraction) -> Fraction:
        value = value if lo is None or lo <= -largest else max(value, Fraction(lo))
        return value if hi is None or hi >= largest else min(value, Fraction(hi))

    return _each(clipped, values), sizes, roundings


def _relu(
    values: Values, sizes: Sizes, roundings: int, attributes: Mapping[str, Any], _: Values | None
) -> Result:
    return _clip(values, sizes, roundings, {"min": 0.0}, None)


def _hard_sigmoid(
    values: Values, sizes: Sizes, roundings: int, attributes: Mapping[str, Any], _: Values | None
) -> Result:
    alpha, beta = (
        Fraction(float(np.float32(attributes.get(key, default))))
        for key, default in (("alpha", 0.2), ("beta", 0.5))
    )
    bent = _each(lambda v: min(max(alpha * v + beta, Fraction(0)), Fraction(1)), values)
    return bent, sizes * abs(float(alpha)) + abs(float(beta)), roundings + 3


def _leaky(
    values: Values,
    sizes: Sizes,
    roundings: int,
    attributes: Mapping[str, Any],
    slopes: Values | None,
) -> Result:
    one = Fraction(float(np.float32(attributes.get("alpha", 0.01))))
    many = [one] * len(values) if slopes is None else list(slopes)
    bent = [v * s if v < 0 else v for v, s in zip(values, many, strict=True)]
    larger = np.array([max(1.0, abs(float(s))) for s in many])
    return np.array(bent, dtype=object), sizes * larger, roundings + 1


def _sigmoid(
    values: Values, sizes: Sizes, roundings: int, attributes: Mapping[str, Any], _: Values | None
) -> Result:
    return _each(lambda v: _logistic(v), values), sizes + 1, roundings + _OF_CURVES


def _tanh(
    values: Values, sizes: Sizes, roundings: int, attributes: Mapping[str, Any], _: Values | None
) -> Result:
    return _each(lambda v: 2 * _logistic(2 * v) - 1, values), sizes + 1, roundings + _OF_CURVES


def _logistic(value: Fraction) -> Fraction:
    if value == 0:
        return Fraction(1, 2)
    context = Context(prec=DIGITS + 10)
    exponent = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    if abs(value) > 300:
        return Fraction(int(value > 0)) + Fraction(-1 if value > 0 else 1, 10**120)
    return 1 / (1 + Fraction(context.exp(-exponent)))


def _each(function: Callable[[Fraction], Fraction], values: Values) -> Values:
    return np.array([function(value) for value in values], dtype=object)


CURVES: Mapping[str, Callable[[Values, Sizes, int, Mapping[str, Any], Values | None], Result]] = {
    "Relu": _relu,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _leaky,
    "PRelu": _leaky,
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
}
