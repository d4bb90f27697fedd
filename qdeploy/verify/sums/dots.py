"""What the library's dot products have to give, as polynomials over the bits of their ports.

Derived from what the header of each module says, not from its text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qdeploy.verify.sums.polynomial import ONE, Polynomial


@dataclass(frozen=True)
class Contract:
    """What a module of the library puts out.

    Args:
        parameters: those its function depends on.
        output: port with the result, `width` bits of two's complement, or without a sign.
        value: the result as a polynomial over its inputs' bits.
        counted: bits of the widest number of which it counts the ones at once.
    """

    parameters: tuple[str, ...]
    output: str
    width: Callable[[Mapping[str, int]], int]
    value: Callable[[Mapping[str, int]], Polynomial]
    counted: Callable[[Mapping[str, int]], int] = lambda _: 0


def clog2(value: int) -> int:
    """$clog2."""
    return max(value - 1, 0).bit_length()


def _factor(bit: int, bits: int, signed: bool) -> int:
    return -(1 << bit) if signed and bit == bits - 1 else 1 << bit


def _dot(
    given: Mapping[str, int], latency: int, lane: Callable[[int, int, int], int]
) -> Polynomial:
    """Σ w·a.

    Args:
        lane: place in port `a` of a lane's bit of the activation, for a bit of the weight.
    """
    wb, ab, signed = given["WB"], given["AB"], bool(given["ASIGNED"])
    found: Polynomial = {}
    for s in range(given["SIMD"]):
        for i in range(wb):
            for j in range(ab):
                pair = (("a", lane(s, j, i), latency), ("w", s * wb + i, latency))
                found[pair] = _factor(i, wb, True) * _factor(j, ab, signed)
    return found


def _planes(given: Mapping[str, int]) -> Polynomial:
    simd, wb, ab = given["SIMD"], given["WB"], given["AB"]
    latency = 1 + clog2(-(-simd // 9)) + (ab - 1) + (wb - 1)
    return _dot(given, latency, lambda s, j, i: (j * simd + s) * wb + i)


def _mult(given: Mapping[str, int]) -> Polynomial:
    ab = given["AB"]
    return _dot(given, 1 + clog2(given["SIMD"]), lambda s, j, _: s * ab + j)


def _xnor(given: Mapping[str, int]) -> Polynomial:
    """Σ (2w - 1)·(2a - 1) = Σ 4wa - 2w - 2a + 1."""
    simd = given["SIMD"]
    latency = 2 + clog2(-(-simd // 9))
    found: Polynomial = {ONE: simd}
    for s in range(simd):
        w, a = ("w", s, latency), ("a", s, latency)
        found |= {(a, w): 4, (a,): -2, (w,): -2}
    return found


def _count(bits: int) -> Callable[[Mapping[str, int]], Polynomial]:
    return lambda _: {(("x", bit, 1),): 1 for bit in range(bits)}


def _width(given: Mapping[str, int]) -> int:
    return given["WB"] + given["AB"] + clog2(given["SIMD"])


CONTRACTS = {
    "qd_dot_planes": Contract(
        ("SIMD", "WB", "AB", "ASIGNED"), "dot", _width, _planes, lambda p: p["SIMD"] * p["WB"]
    ),
    "qd_dot_mult": Contract(("SIMD", "WB", "AB", "ASIGNED", "USE_DSP"), "dot", _width, _mult),
    "qd_dot_xnor": Contract(
        ("SIMD",), "dot", lambda p: 2 + clog2(p["SIMD"]), _xnor, lambda p: p["SIMD"]
    ),
    "qd_count_six": Contract((), "count", lambda _: 3, _count(6)),
    "qd_count_nine": Contract((), "count", lambda _: 4, _count(9)),
}
# Modules that others are proved to be sums of: read as boxes there, and proved themselves.
COUNTERS = ("qd_count_six", "qd_count_nine")
