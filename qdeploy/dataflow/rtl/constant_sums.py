"""Sums of activations times weights that never change: the weights become logic.

A unit that multiplies a whole vector at once has constants for weights. A weight is a few signed
powers of two (its canonical signed digits, none for 0, one for -1 and +1), so a row's sum is a heap
of activation bits, each in the column of its power, and one constant:

    Σ w·a = Σ ±2^k · a_n           -x = ~x - (2^bits - 1) makes every digit positive

    shared  pairs of activations that many rows add or subtract are added once, where that takes
            fewer LUTs than it saves (`_Sharing`); pairs of pairs likewise
    heap    six bits of a column become their count of three bits in three LUTs, stage by stage,
            until no column has six
    adders  what is left is added in a tree

Every stage ends in registers. One LUT takes about one bit out of the heap, so a two-bit activation
times a ternary weight takes about one LUT, zeros included, where a lane with its weights in memory
takes nearly twelve: at folding factors below ten the constant sums are smaller as well as faster.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

# Pairs are shared over at most so many additions in a row, each one cycle.
MAX_LEVELS = 2


@dataclass(frozen=True)
class Number:
    """An unsigned number of the unit: an activation, or a shared sum of two earlier ones.

    Its meaning is the raw number minus `offset`, which makes differences and signed activations
    unsigned.

    Args:
        bits: width.
        level: cycles after the activations at which it is there.
        left, right: the numbers it is the sum of, -1 for an activation.
        minus: the right one is subtracted.
    """

    bits: int
    level: int
    offset: int
    left: int = -1
    right: int = -1
    minus: bool = False


@dataclass(frozen=True)
class Term:
    """± 2^shift times a number."""

    number: int
    shift: int
    minus: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be added.

    Args:
        inputs: activations, the first of `numbers`; `bits` and `signed` are theirs.
        width: of the sums, two's complement; they are right modulo 2^width.
        rows: terms of each row; `constants`: what each row adds.
    """

    inputs: int
    bits: int
    signed: bool
    width: int
    weights: IntArray
    numbers: tuple[Number, ...]
    rows: tuple[tuple[Term, ...], ...]
    constants: tuple[int, ...]


def plan_sums(weights: IntArray, bits: int, signed: bool, width: int) -> Plan:
    """Plan the sums of every row.

    Args:
        weights: (MH, MW).
        bits, signed: of an activation.
        width: of the sums.
    """
    array = np.ascontiguousarray(weights, dtype=np.int64)
    return _plan(array.tobytes(), array.shape, bits, signed, width)


@functools.lru_cache(maxsize=64)
def _plan(data: bytes, shape: tuple[int, int], bits: int, signed: bool, width: int) -> Plan:
    weights = np.frombuffer(data, dtype=np.int64).reshape(shape)
    planes = _digits(weights)
    sharing = _Sharing(np.concatenate(planes), bits, signed)
    digits = sharing.run().reshape(len(planes), shape[0], -1)
    numbers = sharing.numbers
    rows, constants = [], []
    for row in range(shape[0]):
        terms, constant = [], 0
        for shift, plane in enumerate(digits):
            for number in np.flatnonzero(plane[row]).tolist():
                minus = bool(plane[row, number] < 0)
                terms.append(Term(number, shift, minus))
                one = numbers[number]
                raw = one.offset - ((1 << one.bits) - 1) if minus else -one.offset
                constant += raw << shift
        rows.append(tuple(terms))
        constants.append(constant % (1 << width))
    return Plan(
        shape[1], bits, signed, width, weights, tuple(numbers), tuple(rows), tuple(constants)
    )


def _digits(weights: IntArray) -> list[npt.NDArray[np.int8]]:
    """Canonical signed digits, a plane (MH, MW) of -1, 0, +1 for each power of two."""
    rest = weights.astype(np.int64).copy()
    planes = []
    while rest.any():
        odd = rest & 1
        # 3 modulo 4 is -1 with a carry: of two neighbouring digits one is 0.
        digit = np.where(odd == 1, 2 - (rest & 3), 0)
        planes.append(digit.astype(np.int8))
        rest = (rest - digit) >> 1
    return planes or [np.zeros(weights.shape, dtype=np.int8)]


class _Sharing:
    """Pairs that many rows have in common, taken out of them greedily, the best first."""

    def __init__(self, digits: npt.NDArray[np.int8], bits: int, signed: bool) -> None:
        self.digits = digits.astype(np.float32)
        offset = 1 << (bits - 1) if signed else 0
        self.numbers = [Number(bits, 0, offset) for _ in range(digits.shape[1])]

    def run(self) -> npt.NDArray[np.float32]:
        """Digits (rows, numbers) after sharing."""
        while self._round():
            pass
        return self.digits

    def _round(self) -> bool:
        """Share every pair that pays, each number in one pair at most; whether there was any."""
        plus, minus = (self.digits > 0).astype(np.float32), (self.digits < 0).astype(np.float32)
        same = plus.T @ plus + minus.T @ minus
        differ = plus.T @ minus + minus.T @ plus
        bits = np.array([number.bits for number in self.numbers])
        open_to = np.array([number.level < MAX_LEVELS for number in self.numbers])
        wider = np.maximum(bits[:, None], bits[None, :])
        saved = np.minimum(bits[:, None], bits[None, :]) - 1
        allowed = np.triu(open_to[:, None] & open_to[None, :], 1)
        candidates = []
        for kind, uses in enumerate((same, differ)):
            gain = np.where(allowed, uses * saved - wider, 0)
            for left, right in zip(*np.nonzero(gain > 0), strict=True):
                candidates.append((-float(gain[left, right]), int(left), int(right), kind))
        candidates.sort()
        taken: set[int] = set()
        for _, left, right, kind in candidates:
            if left not in taken and right not in taken:
                taken |= {left, right}
                self._share(left, right, minus=bool(kind))
        return bool(taken)

    def _share(self, left: int, right: int, *, minus: bool) -> None:
        first, second = self.digits[:, left], self.digits[:, right]
        together = (first != 0) & (second == (-first if minus else first))
        column = np.where(together, first, 0)
        self.digits[together, left] = 0
        self.digits[together, right] = 0
        self.digits = np.concatenate([self.digits, column[:, None]], axis=1)
        one, two = self.numbers[left], self.numbers[right]
        offset = one.offset + (((1 << two.bits) - 1) - two.offset if minus else two.offset)
        bits = max(one.bits, two.bits) + 1
        level = max(one.level, two.level) + 1
        self.numbers.append(Number(bits, level, offset, left, right, minus))
