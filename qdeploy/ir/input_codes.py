"""From what a sensor gives to the codes on the input stream: all that lies before the integers.

A file may compute with its input before it quantizes it (2x - 1, /255, mean and deviation of each
channel) and order it otherwise (rows, columns, channels). All of it together is one function of
each element, from a float32 x to a code, and a monotone one; so it is a table of thresholds:

    code = lo + #{k : x >= t[row, k]}      or      code = hi - #{k : x >= t[row, k]}   where falling

with one row of thresholds for all elements, or one for each place along an axis of the frame. They
are found by bisection over all float32 numbers, with the file's own float32 operations, so the code
of every x is the one that the file itself gives. Where x comes from integers of a few bits
(`RawType`), the function is a table with an entry for each of them.

    value = scale · code         what a code means to the network; code 0 means 0

Numpy only, Python 3.9: packages carry a copy of this file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
CodeArray = npt.NDArray[np.int64]
# One step from the file's order of a frame's elements to the graph's, without the axis of frames.
Step = tuple[str, tuple[int, ...]]
RESHAPE, TRANSPOSE = "reshape", "transpose"

# Of a raw integer, and of a table with an entry for each.
MAX_RAW_BITS = 16
_LARGEST = np.float32(np.finfo(np.float32).max)
_SIGN = 1 << 31


@dataclass(frozen=True)
class RawType:
    """Integers lo … hi that a sensor or an image file gives: x = scale · (raw - zero).

    x is the float32 nearest to the exact product.
    """

    lo: int = 0
    hi: int = 255
    scale: Fraction = Fraction(1)
    zero: int = 0

    @property
    def name(self) -> str:
        """`uint8`, `int4`, …; the bounds where it is no such type."""
        for bits in range(1, MAX_RAW_BITS + 1):
            if (self.lo, self.hi) == (0, (1 << bits) - 1):
                return f"uint{bits}"
            if (self.lo, self.hi) == (-(1 << (bits - 1)), (1 << (bits - 1)) - 1):
                return f"int{bits}"
        return f"integers from {self.lo} to {self.hi}"

    @property
    def meaning(self) -> str:
        """x as a formula."""
        inner = (
            "raw" if self.zero == 0 else f"(raw {'-' if self.zero > 0 else '+'} {abs(self.zero)})"
        )
        return inner if self.scale == 1 else f"{inner} x {fraction_text(self.scale)}"

    def values(self) -> FloatArray:
        """x of every raw integer, (hi - lo + 1,)."""
        exact = [self.scale * (raw - self.zero) for raw in range(self.lo, self.hi + 1)]
        return np.array([nearest_float32(value) for value in exact], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class InputPreparation:
    """The function from a frame as the file takes it to the codes of the integer graph's input.

    Args:
        thresholds: float32 (rows, hi - lo), ascending along each row; -inf holds for every x, +inf
            for none.
        lo: the smallest code.
        falling: rows whose codes fall as x rises.
        axis: of the file's frame that the rows are along, without the axis of frames; None for one
            row for all.
        shape: of a frame in the file.
        layout: from there to the graph's (C, H, W) or (F,).
        scale: value of one code, None where it is not known.
        zero: zero point of the file's quantizer: its code is `code + zero`. For people.
        raw: what x is made from, None where the file does not say.

    Raises:
        ValueError: the parts do not go together.
    """

    thresholds: FloatArray = field(repr=False)
    lo: int
    falling: tuple[bool, ...]
    axis: int | None
    shape: tuple[int, ...]
    layout: tuple[Step, ...] = ()
    scale: Fraction | None = None
    zero: int = 0
    raw: RawType | None = None

    def __post_init__(self) -> None:
        rows = 1 if self.axis is None else self.shape[self.axis]
        table = self.thresholds
        if table.ndim != 2 or len(table) != rows or len(self.falling) != rows:
            raise ValueError(f"{rows} rows of thresholds are needed, not {table.shape}")
        if np.isnan(table).any() or (table[:, 1:] < table[:, :-1]).any():
            raise ValueError("the thresholds of the input do not ascend")
        if self.raw is not None and not 0 < self.raw.hi - self.raw.lo < 1 << MAX_RAW_BITS:
            raise ValueError(f"raw integers from {self.raw.lo} to {self.raw.hi}")
        self.code_shape  # noqa: B018 - raises where the layout does not fit the shape

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, InputPreparation)
            and self.record() == other.record()
            and np.array_equal(self.thresholds, other.thresholds)
        )

    def __hash__(self) -> int:
        return hash((self.lo, self.axis, self.shape, self.thresholds.tobytes()))

    @property
    def hi(self) -> int:
        """The largest code."""
        return self.lo + self.thresholds.shape[1]

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Of a frame's codes in the integer graph."""
        shape = self.shape
        for kind, numbers in self.layout:
            fits = sorted(numbers) == list(range(len(shape)))
            if kind == RESHAPE:
                fits = prod(numbers) == prod(shape)
            if not fits:
                raise ValueError(f"a {kind} by {numbers} of a frame of {shape}")
            shape = numbers if kind == RESHAPE else tuple(shape[axis] for axis in numbers)
        return shape

    @cached_property
    def table(self) -> CodeArray:
        """Code of every raw integer, (rows, raw.hi - raw.lo + 1).

        Raises:
            ValueError: what x is made from is not known.
        """
        if self.raw is None:
            raise ValueError("what a raw value of the input means is not known")
        values = self.raw.values()
        return np.stack([self._row(row, values) for row in range(len(self.thresholds))])

    @cached_property
    def takes_codes(self) -> bool:
        """Whether an integer given to the driver is the code itself."""
        if self.raw is None:
            return True
        same = np.arange(self.raw.lo, self.raw.hi + 1)
        return bool((self.table == same).all())

    @property
    def integer_range(self) -> tuple[int, int]:
        """Of the integers that a driver takes: raw ones, or codes where none are known."""
        return (self.lo, self.hi) if self.raw is None else (self.raw.lo, self.raw.hi)

    # ---- codes -------------------------------------------------------------------------------

    def codes(self, x: npt.ArrayLike) -> CodeArray:
        """Codes in the graph's order, (N, *code_shape), of real frames (N, *shape).

        Raises:
            ValueError: a value is not finite, also not as a float32.
        """
        with np.errstate(over="ignore"):
            values = np.asarray(x).astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("the input has values that are not finite numbers")
        return self.arrange(self._by_row(values, self._row))

    def codes_of_integers(self, given: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        """Codes in the graph's order of integer frames (N, *shape) within `integer_range`: raw
        ones, or codes where none are known."""
        raw = self.raw
        if raw is None or self.takes_codes:
            return self.arrange(np.asarray(given))
        low, table = raw.lo, self.table
        index = np.asarray(given).astype(np.int64) - low
        return self.arrange(self._by_row(index, lambda row, values: table[row][values]))

    def arrange(self, frames: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Frames (N, *shape) in the graph's order."""
        for kind, numbers in self.layout:
            if kind == RESHAPE:
                frames = frames.reshape(len(frames), *numbers)
            else:
                frames = frames.transpose(0, *(axis + 1 for axis in numbers))
        return frames

    def restore(self, frames: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Frames in the file's order again: the inverse of `arrange`."""
        order = self._arranged.reshape(-1)
        flat = np.empty((len(frames), order.size), dtype=frames.dtype)
        flat[:, order] = frames.reshape(len(frames), -1)
        return flat.reshape(len(frames), *self.shape)

    # ---- the way back ------------------------------------------------------------------------

    @cached_property
    def reachable(self) -> npt.NDArray[np.bool_]:
        """Which codes lo … hi occur, (rows, hi - lo + 1)."""
        return ~np.isnan(self._samples)

    def real(self, codes: CodeArray) -> FloatArray:
        """Real frames (N, *shape) that have these codes (N, *code_shape).

        x = scale · code where that has the code, else one in the middle of all that have it.

        Raises:
            ValueError: no x has one of the codes.
        """
        given = np.asarray(codes)
        samples, low, found = (
            self._samples,
            self.lo,
            np.empty((len(given), *self.shape), np.float32),
        )
        for block in self._blocks(len(given)):
            index = self.restore(given[block]).astype(np.int64) - low
            if index.size and (index.min() < 0 or index.max() > self.hi - low):
                raise ValueError(f"input codes are from {low} to {self.hi}")
            found[block] = self._by_row(index, lambda row, values: samples[row][values])
            if np.isnan(found[block]).any():
                raise ValueError("no value of the input has one of the codes")
        return found

    def nearest_reachable(self, codes: CodeArray) -> CodeArray:
        """Codes in the file's order, (N, *shape), each replaced by one that occurs, if it does not:
        the next smaller one, or the smallest."""
        places = np.arange(self.hi - self.lo + 1)
        last = np.maximum.accumulate(np.where(self.reachable, places, -1), axis=1)
        last = np.where(last < 0, self.reachable.argmax(axis=1)[:, None], last)
        found = self._by_row(codes - self.lo, lambda row, values: last[row][values])
        return found.astype(np.int64) + self.lo

    @cached_property
    def _samples(self) -> FloatArray:
        """An x for each code, (rows, hi - lo + 1); NaN where there is none."""
        codes = np.arange(self.lo, self.hi + 1)
        found = np.full((len(self.thresholds), codes.size), np.nan, dtype=np.float32)
        for row in range(len(found)):
            if self.raw is not None:
                values = self.raw.values()[::-1]  # of several with one code the first stays
                found[row, self._row(row, values) - self.lo] = values
                continue
            for values in self._candidates(row):
                fits = self._row(row, np.where(np.isfinite(values), values, 0)) == codes
                found[row] = np.where(
                    np.isnan(found[row]) & fits & np.isfinite(values), values, found[row]
                )
        return found

    def _candidates(self, row: int) -> list[FloatArray]:
        """For each code, values that may have it: scale · code, then places between its edges."""
        edges = np.concatenate([[-np.inf], self.thresholds[row], [np.inf]]).astype(np.float32)
        if self.falling[row]:
            edges = edges[::-1]
        below, above = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
        with np.errstate(invalid="ignore", over="ignore"):
            between = [below / 2 + above / 2, below, np.nextafter(above, np.float32(-np.inf))]
        if self.scale is None:
            return between
        plain = float(self.scale) * np.arange(self.lo, self.hi + 1)
        return [plain.astype(np.float32), *between]

    # ---- as files have it --------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """All but the thresholds, as JSON data."""
        raw = self.raw
        return {
            "lo": self.lo,
            "falling": [row for row, falls in enumerate(self.falling) if falls],
            "axis": self.axis,
            "shape": list(self.shape),
            "layout": [[kind, list(numbers)] for kind, numbers in self.layout],
            "scale": None if self.scale is None else fraction_text(self.scale),
            "zero": self.zero,
            "raw": None
            if raw is None
            else {"lo": raw.lo, "hi": raw.hi, "scale": fraction_text(raw.scale), "zero": raw.zero},
        }

    @staticmethod
    def of_record(record: dict[str, Any], thresholds: FloatArray) -> InputPreparation:
        """The preparation of a `record`.

        Raises:
            ValueError: the parts do not go together.
        """
        raw, falling = record["raw"], set(record["falling"])
        return InputPreparation(
            thresholds,
            record["lo"],
            tuple(row in falling for row in range(len(thresholds))),
            record["axis"],
            tuple(record["shape"]),
            tuple((str(kind), tuple(numbers)) for kind, numbers in record["layout"]),
            None if record["scale"] is None else Fraction(record["scale"]),
            record["zero"],
            None
            if raw is None
            else RawType(raw["lo"], raw["hi"], Fraction(raw["scale"]), raw["zero"]),
        )

    # ---- inside ------------------------------------------------------------------------------

    @cached_property
    def _arranged(self) -> CodeArray:
        """Place in the file's frame of each element of the graph's."""
        return self.arrange(np.arange(prod(self.shape)).reshape(1, *self.shape))

    def _blocks(self, frames: int) -> list[slice]:
        """Frames in parts of which the integers in between take little memory."""
        step = max(1, (1 << 20) // prod(self.shape))
        return [slice(first, first + step) for first in range(0, frames, step)]

    def _row(self, row: int, values: npt.NDArray[Any]) -> CodeArray:
        count = np.searchsorted(self.thresholds[row], values, side="right").astype(np.int64)
        return self.hi - count if self.falling[row] else self.lo + count

    def _by_row(
        self,
        values: npt.NDArray[Any],
        function: Callable[[int, npt.NDArray[Any]], npt.NDArray[Any]],
    ) -> npt.NDArray[Any]:
        if self.axis is None:
            return function(0, values)
        moved = np.moveaxis(values, self.axis + 1, 0)
        result = np.stack([function(row, part) for row, part in enumerate(moved)])
        return np.moveaxis(result, 0, self.axis + 1)


def nearest_float32(value: Fraction) -> np.float32:
    """The float32 nearest to an exact value, the even one of two."""
    guess = np.float32(float(value))
    around = (np.nextafter(guess, -_LARGEST), guess, np.nextafter(guess, _LARGEST))
    return min(around, key=lambda one: (abs(Fraction(float(one)) - value), _mantissa(one) & 1))


def fraction_text(value: Fraction) -> str:
    """A fraction as files have it, such as "1/8"."""
    return f"{value.numerator}/{value.denominator}"


def order_of(values: FloatArray) -> CodeArray:
    """Integers in the order of float32 numbers, neighbours one apart; both zeros are 0."""
    bits = np.asarray(values, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits + _SIGN), bits)


def float_of(order: CodeArray) -> FloatArray:
    """The inverse of `order_of`."""
    bits = np.where(order < 0, _SIGN - order, order).astype(np.uint32)
    return bits.view(np.float32)


def _mantissa(value: np.float32) -> int:
    return int(np.asarray(value, dtype=np.float32).view(np.uint32))
