"""Multilinear polynomials with integer coefficients over input bits."""

from __future__ import annotations

from collections.abc import Mapping

# Port, bit, cycles before the output.
Variable = tuple[str, int, int]
# A product of different variables in ascending order; the empty one is 1.
Monomial = tuple[Variable, ...]
Polynomial = dict[Monomial, int]

ONE: Monomial = ()


def variable(port: str, bit: int, cycles: int = 0) -> Polynomial:
    """An input bit."""
    return {((port, bit, cycles),): 1}


def accumulate(into: Polynomial, more: Mapping[Monomial, int], factor: int = 1) -> None:
    """Add `factor` times `more` to `into`."""
    for monomial, coefficient in more.items():
        into[monomial] = into.get(monomial, 0) + factor * coefficient


def product(one: Mapping[Monomial, int], two: Mapping[Monomial, int]) -> Polynomial:
    """The product, with x·x = x as for bits."""
    found: Polynomial = {}
    for left, first in one.items():
        for right, second in two.items():
            both = tuple(sorted({*left, *right})) if left and right else left or right
            found[both] = found.get(both, 0) + first * second
    return {monomial: factor for monomial, factor in found.items() if factor}


def inverted(one: Mapping[Monomial, int]) -> Polynomial:
    """1 - p, which is ~p for a bit."""
    found: Polynomial = {ONE: 1}
    accumulate(found, one, -1)
    return found


def exclusive(one: Mapping[Monomial, int], two: Mapping[Monomial, int]) -> Polynomial:
    """p + q - 2pq, which is p ^ q for bits."""
    found = dict(one)
    accumulate(found, two)
    accumulate(found, product(one, two), -2)
    return {monomial: factor for monomial, factor in found.items() if factor}


def modulo(one: Mapping[Monomial, int], bits: int) -> Polynomial:
    """Coefficients in 0 … 2^bits - 1, without those that are 0."""
    mask = (1 << bits) - 1
    return {monomial: kept for monomial, c in one.items() if (kept := c & mask)}


def centred(one: Mapping[Monomial, int], bits: int) -> Polynomial:
    """The same modulo 2^bits, coefficients from -2^(bits-1)+1 to 2^(bits-1)."""
    half = 1 << (bits - 1)
    return {monomial: c - 2 * half if c > half else c for monomial, c in modulo(one, bits).items()}


def bounds(one: Mapping[Monomial, int]) -> tuple[int, int]:
    """Numbers that the polynomial's value lies between, both included."""
    low = high = one.get(ONE, 0)
    for monomial, coefficient in one.items():
        if monomial:
            low += min(coefficient, 0)
            high += max(coefficient, 0)
    return low, high


def later(one: Mapping[Monomial, int], cycles: int) -> Polynomial:
    """The same value `cycles` before."""
    if not cycles:
        return dict(one)
    return {
        tuple((port, bit, at + cycles) for port, bit, at in monomial): c
        for monomial, c in one.items()
    }
