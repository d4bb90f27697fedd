"""From sums to codes: what the hardware does, as a function of the sum, against the thresholds.

Both are functions of one integer, the sum x of a channel, which lies in an interval [lo, hi] that
holds for every frame. They are compared completely, at few places:

    thresholds, searches   both sides are constant between the thresholds of either: comparing at
                           every threshold T and at T - 1, and at lo and hi, compares them on all
                           integers in between
    multiplications        floor((x·M + B) / 2^S), M >= 0 by its type, never falls as x rises, also
                           where ties lose their low bit: q·2^S gives q - 1 for odd q, and a smaller
                           sum no more than that. The thresholds are constant from one to the next,
                           so comparing at both ends of each such piece compares all of it

An XNOR unit compares y = 2·x - Σw instead of x; its thresholds are brought back to x.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.memories.ledger import MOST_LISTED, Place
from qdeploy.verify.units.parameters import UnitParameters


@dataclass(frozen=True)
class SumMap:
    """The hardware's sum of a channel: factor times the network's, plus the channel's offset."""

    factor: int
    offset: IntArray

    def apply(self, sums: IntArray) -> IntArray:
        """Hardware sums of network sums (channels, …)."""
        return self.factor * sums + self.offset[:, None]

    def first_reaching(self, levels: IntArray) -> IntArray:
        """The least network sums whose hardware sums reach levels (channels, …)."""
        return -((self.offset[:, None] - levels) // self.factor)


class CodeFunction(ABC):
    """Codes that hardware makes of its sums, channel by channel."""

    @abstractmethod
    def codes(self, sums: IntArray) -> IntArray:
        """Codes of hardware sums (channels, n)."""

    @abstractmethod
    def steps(self) -> IntArray | None:
        """Hardware sums (channels, n) at which the code may change; None where it never falls."""

    @abstractmethod
    def of_channels(self, channels: int) -> CodeFunction:
        """The function of so many channels, where one word is read again and again."""

    @abstractmethod
    def numbers(self) -> dict[str, int]:
        """How many numbers it reads, by kind."""


@dataclass(frozen=True)
class ParallelLevels(CodeFunction):
    """base + how many of a channel's levels (channels, n) the sum reaches."""

    levels: IntArray
    base: int

    def codes(self, sums: IntArray) -> IntArray:
        ordered = np.sort(self.levels, axis=1)
        return self.base + _count(ordered, sums)

    def steps(self) -> IntArray | None:
        return self.levels

    def of_channels(self, channels: int) -> ParallelLevels:
        return ParallelLevels(_repeated(self.levels, channels), self.base)

    def numbers(self) -> dict[str, int]:
        return {"levels read": self.levels.size}


@dataclass(frozen=True)
class SearchedLevels(CodeFunction):
    """A binary search; `stages[s]` is (channels, 2^s), by the decisions before; at most `most`."""

    stages: tuple[IntArray, ...]
    base: int
    most: int

    def codes(self, sums: IntArray) -> IntArray:
        path = np.zeros_like(sums)
        for levels in self.stages:
            path = 2 * path + (sums >= np.take_along_axis(levels, path, axis=1))
        return self.base + np.minimum(path, self.most)

    def steps(self) -> IntArray | None:
        return np.concatenate(self.stages, axis=1)

    def of_channels(self, channels: int) -> SearchedLevels:
        stages = tuple(_repeated(stage, channels) for stage in self.stages)
        return SearchedLevels(stages, self.base, self.most)

    def numbers(self) -> dict[str, int]:
        return {"levels read": sum(stage.size for stage in self.stages)}


@dataclass(frozen=True)
class Multiplied(CodeFunction):
    """min(max(floor((x·M + B) / 2^shift), lo), hi); with `even` ties lose their low bit."""

    multiplier: IntArray
    bias: IntArray
    shift: int
    even: bool
    lo: int
    hi: int

    def codes(self, sums: IntArray) -> IntArray:
        m, b = self.multiplier[:, None], self.bias[:, None]
        largest = int(np.abs(sums).max(initial=0)) * int(m.max()) + int(np.abs(b).max())
        if largest >= 1 << 62:
            m, b, sums = (array.astype(object) for array in (m, b, sums))
        value = m * sums + b
        codes = value >> self.shift
        if self.even:
            codes = codes - (codes & 1) * (codes << self.shift == value)
        result: IntArray = np.clip(codes, self.lo, self.hi).astype(np.int64)
        return result

    def steps(self) -> IntArray | None:
        return None

    def of_channels(self, channels: int) -> Multiplied:
        m, b = (_repeated(one[:, None], channels)[:, 0] for one in (self.multiplier, self.bias))
        return Multiplied(m, b, self.shift, self.even, self.lo, self.hi)

    def numbers(self) -> dict[str, int]:
        return {"multipliers": self.multiplier.size, "offsets": self.bias.size}


def compare_codes(
    place: Place, unit: UnitParameters, function: CodeFunction, sums: SumMap, what: str
) -> None:
    """Compare the codes of a unit's hardware with its thresholds, for every sum that can occur.

    Args:
        function: of all of the unit's channels.
        sums: how the hardware's sums follow from the network's.
        what: the parameter or file that holds the numbers, for people.
    """
    assert unit.thresholds is not None and unit.sum_lo is not None and unit.sum_hi is not None
    for kind, count in function.numbers().items():
        place.ledger.counted[kind] += count
    low, high = unit.sum_lo[:, None], unit.sum_hi[:, None]
    tables = [unit.thresholds]
    steps = function.steps()
    if steps is not None:
        tables.append(sums.first_reaching(steps))
    points = [low, high]
    for table in tables:
        points += [np.clip(table, low, high), np.clip(table - 1, low, high)]
    asked = np.concatenate(points, axis=1)
    expected = unit.base + _count(unit.thresholds, asked)
    found = function.codes(sums.apply(asked))
    _report(place, unit, what, asked, expected, found)


def _report(
    place: Place,
    unit: UnitParameters,
    what: str,
    asked: IntArray,
    expected: IntArray,
    found: IntArray,
) -> None:
    """One difference for each level of a channel that is at another sum."""
    rows, columns = np.nonzero(expected != found)
    seen: set[tuple[int, int]] = set()
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        codes = int(expected[row, column]), int(found[row, column])
        level = min(codes) - unit.base
        if (row, level) in seen:
            continue
        seen.add((row, level))
        if len(seen) > MOST_LISTED:
            place.ledger.differing += 1
            continue
        at = f"{row_name(unit, row)}, level {level} ({what}), code of the sum {asked[row, column]}"
        place.differs(at, codes[0], codes[1])


def row_name(unit: UnitParameters, row: int) -> str:
    """A result of a unit, for people: its channel, and which of several pixels it is of."""
    each = unit.channels // unit.outputs
    pixel = f"pixel {row // each} of the beat, " if unit.outputs > 1 else ""
    return f"{pixel}channel {row % each}"


def _count(ordered: IntArray, sums: IntArray) -> IntArray:
    """#{k : sum >= ordered[channel, k]} for sums (channels, n)."""
    found = np.empty(sums.shape, dtype=np.int64)
    for channel, row in enumerate(ordered):
        found[channel] = np.searchsorted(row, sums[channel], side="right")
    return found


def _repeated(rows: IntArray, channels: int) -> IntArray:
    return np.tile(rows, (channels // len(rows), 1))
