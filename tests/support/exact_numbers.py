"""Arrays of exact fractions: Python integers over one common denominator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np

# Sums of products below this bound are made in int64: no rounding, and a hundred times as fast.
WORD = 1 << 62
_INTEGER = np.frompyfunc(int, 1, 1)


class NotInterpretedError(Exception):
    """An operator, or a form of one, that the exact interpreter has no rule for."""


@dataclass(frozen=True)
class Exact:
    """value = numerators / denominator; `numerators` is an array of Python integers (object)."""

    numerators: np.ndarray
    denominator: int = 1

    def __post_init__(self) -> None:
        # An integer of numpy hidden in an array of objects would overflow silently.
        whole = np.asarray(_INTEGER(np.asarray(self.numerators, object)), object)
        object.__setattr__(self, "numerators", whole)

    @staticmethod
    def of(values: Any) -> Exact:
        """The exact values of an array of floats or integers, all of them finite."""
        array = np.asarray(values)
        if array.dtype.kind in "iub":
            return Exact(array.astype(object))
        return Exact.of_fractions([Fraction(float(v)) for v in array.reshape(-1)], array.shape)

    @staticmethod
    def of_fractions(values: list[Fraction], shape: tuple[int, ...]) -> Exact:
        common = lcm(*(value.denominator for value in values)) if values else 1
        numbers = np.empty(len(values), dtype=object)
        numbers[:] = [value.numerator * (common // value.denominator) for value in values]
        return Exact(numbers.reshape(shape), common)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.numerators.shape

    def fractions(self) -> list[Fraction]:
        """All values in row-major order."""
        return [Fraction(int(n), self.denominator) for n in self.numerators.reshape(-1)]

    def each(self, change: Callable[[Fraction], Fraction]) -> Exact:
        """A function of each value."""
        known: dict[Fraction, Fraction] = {}
        result = [
            known[v] if v in known else known.setdefault(v, change(v)) for v in self.fractions()
        ]
        return Exact.of_fractions(result, self.shape)

    def moved(self, change: Callable[[np.ndarray], np.ndarray]) -> Exact:
        """A change of the order or the shape."""
        return Exact(change(self.numerators), self.denominator)

    def reduced(self) -> Exact:
        """The same values with the smallest common denominator."""
        common = gcd(self.denominator, *(int(n) for n in self.numerators.reshape(-1)))
        if common == 1:
            return self
        return Exact(self.numerators // common, self.denominator // common)

    def __neg__(self) -> Exact:
        return Exact(-self.numerators, self.denominator)

    def __add__(self, other: Exact) -> Exact:
        mine, theirs, common = on_one_grid(self, other)
        return Exact(mine + theirs, common)

    def __sub__(self, other: Exact) -> Exact:
        return self + -other

    def __mul__(self, other: Exact) -> Exact:
        product = self.numerators * other.numerators
        return Exact(np.asarray(product, object), self.denominator * other.denominator).reduced()

    def inverse(self) -> Exact:
        """1 / value of each; none may be zero."""
        return Exact.of_fractions([1 / value for value in self.fractions()], self.shape)


def on_one_grid(first: Exact, second: Exact) -> tuple[np.ndarray, np.ndarray, int]:
    """Numerators of two arrays over one denominator."""
    common = lcm(first.denominator, second.denominator)
    return (
        first.numerators * (common // first.denominator),
        second.numerators * (common // second.denominator),
        common,
    )


def largest(array: np.ndarray) -> int:
    """The largest magnitude."""
    return max((abs(int(value)) for value in array.reshape(-1)), default=0)


def product(first: Exact, second: Exact) -> Exact:
    """Matrix product of (…, K) and (K, N), or of two stacks of matrices."""
    a, b = first.numerators, second.numerators
    if largest(a) * largest(b) * a.shape[-1] < WORD:
        found = np.matmul(a.astype(np.int64), b.astype(np.int64)).astype(object)
    else:
        found = np.matmul(a, b)
    return Exact(found, first.denominator * second.denominator).reduced()


def rounded(value: Fraction, mode: str) -> int:
    """A fraction rounded to an integer.

    Args:
        mode: as QONNX's Quant names them: ROUND and HALF_EVEN to the nearest, ties to the even;
            HALF_UP ties away from zero, HALF_DOWN towards it; UP away from zero, DOWN and
            ROUND_TO_ZERO towards it; FLOOR; CEIL.
    """
    down = value.numerator // value.denominator
    size, sign = abs(value), 1 if value >= 0 else -1
    inward = size.numerator // size.denominator
    if mode in ("ROUND", "HALF_EVEN"):
        return round(value)
    if mode == "FLOOR":
        return down
    if mode == "CEIL":
        return -(-value.numerator // value.denominator)
    if mode in ("DOWN", "ROUND_TO_ZERO"):
        return sign * inward
    if mode == "UP":
        return sign * (inward + (inward != size))
    if mode in ("HALF_UP", "HALF_DOWN"):
        rest = size - inward
        half = Fraction(1, 2)
        return sign * (inward + (rest > half or (rest == half and mode == "HALF_UP")))
    raise NotInterpretedError(f"rounding mode {mode}")
