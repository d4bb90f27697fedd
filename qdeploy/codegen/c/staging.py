"""Convolutions whose windows' rows are laid out first: `export/c/kernels/conv_staged.h`.

Units are words of four codes where products fit, else single codes. A byte of a sum of products is
its offset plus sums of a code by a weight; with codes 0 … A and weights that sum up to -N and P
over the units of a run, for every filter and every run:

    0 <= offset - A·N        offset + A·P <= 255

A code of 0 occurs whether the layer has it or not: sums of fewer terms are in the lower bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from qdeploy.codegen.c.elements import Element, Stored
from qdeploy.ir.integer_graph import Conv, IntArray

_BYTE = 255
_MOST_HALF = (1 << 15) - 1
# The kernel's inner loop takes so many words at a time.
_UNROLLED = 4
_LONGEST = 256
# Filters that go together.
FILTERS = 4
# Of `qd_run_t`.
RUN_BYTES = 6
# Widest weights of words, and sums whose differences with a threshold keep their sign.
_WORD_BITS, _MOST_SUM = 4, 1 << 29
_PAIRED_WIDTH = 3
# Of bytes that are added up in 16 bits.
_MOST_RUNS = 256


class Unit(Enum):
    """What a window's row is made of; the value is the name in C."""

    PAIRS = "QD_PAIRS"
    FOURS = "QD_FOURS"
    BYTES = "QD_BYTES"

    @property
    def bytes(self) -> int:
        """Bytes in memory."""
        return 1 if self is Unit.BYTES else 4


@dataclass(frozen=True)
class Run:
    """How the products of four filters are added up.

    Args:
        units: between two reads of the bytes.
        offset: what each byte begins with.
        minus: all offsets in a sum.
    """

    units: int
    offset: int
    minus: int


@dataclass(frozen=True)
class Staging:
    """How a convolution is staged.

    Args:
        unit: of a window's row.
        units: how many.
        columns: windows, or pairs of them, in a row of the result.
        runs: of every four filters; none of BYTES.
        sums: bytes of the sums of a row and a filter.
        window_height, stride_down: of the layer.
        band: rows of the result at a time.
        spread: bytes of a row of the source, where it is packed.
        fields: bytes of a filter's fields of 2 bits, where weights are packed five to a byte.
        most_fours: fours of products whose halves are added up in 16 bits, `conv_vector.h`.
    """

    unit: Unit
    units: int
    columns: int
    runs: tuple[Run, ...]
    window_height: int
    stride_down: int
    sums: int
    band: int = 1
    spread: int = 0
    fields: int = 0
    most_fours: int = 1

    @property
    def scratch(self) -> int:
        """Bytes of four filters and of the windows' rows of a band."""
        rows = (self.band - 1) * self.stride_down + self.window_height
        row_bytes = self.units * self.unit.bytes
        # BYTES: a window's weights are rounded up to four, and so are the codes that are read; or
        # both are words of two, row by row.
        window = -(-self.window_height * self.units // 4) * 4
        if self.unit is not Unit.BYTES:
            window = self.window_height * self.units
        filters = 4 * FILTERS * window + (3 if self.unit is Unit.BYTES else 0)
        if self.unit is Unit.BYTES:
            row_bytes = -(-self.units // 2) * 4
        sums = (FILTERS + 1) * self.sums
        before = -(-self.spread // 4) * 4 + -(-self.fields // 4) * 4
        return before + filters + sums + rows * self.columns * row_bytes

    def of_band(self, band: int) -> Staging:
        """The same with so many rows at a time."""
        return replace(self, band=band)


def stagings(
    node: Conv, source: Stored, result: Stored, largest: int, interval: tuple[int, int]
) -> list[tuple[Staging, IntArray]]:
    """Each way to stage a convolution, most products per multiplication first, with its weights in
    the order of the units; none where it cannot be.

    Args:
        largest: code of the source.
        interval: of the results' sums.
    """
    filters, _, height, width = node.weights.shape
    top, left, bottom, right = node.pads
    fits = source.element is Element.U8 and node.groups == 1 and node.dilation == (1, 1)
    inside = max(top, bottom) < height and max(left, right) < width
    if not fits or not inside or max(map(abs, interval)) > _MOST_SUM:
        return []
    found: list[tuple[Staging, IntArray]] = []
    rows = node.weights.transpose(0, 2, 3, 1)
    span = int(rows.max()) - int(rows.min())
    for unit in (Unit.PAIRS, Unit.FOURS) if span < 1 << _WORD_BITS else ():
        if unit is Unit.PAIRS:
            if width != _PAIRED_WIDTH or node.stride[1] != 1 or largest >= 1 << 7:
                continue
            words = rows.transpose(0, 1, 3, 2)[..., ::-1]
            columns = -(-result.width // 2)
        else:
            flat = rows.reshape(filters, height, -1)
            more = -flat.shape[2] % 4
            padded = np.pad(flat, ((0, 0), (0, 0), (0, more)))
            words = padded.reshape(filters, height, -1, 4)[..., ::-1]
            columns = result.width
        units = words.shape[2]
        runs = _fit(words.reshape(filters, height * units, -1), largest)
        if runs is not None:
            # In 64 bits a word has six sums, every four pixels.
            wide = 4 * -(-source.width // 4) + 2
            sums = 4 * (max(2 * columns, wide) if unit is Unit.PAIRS else columns)
            most = _MOST_HALF // (2 * max(1, largest * int(np.abs(rows).max())))
            staging = Staging(
                unit, units, columns, runs, height, node.stride[0], sums, most_fours=most
            )
            found.append((staging, words.reshape(filters, -1)))
    if not -(1 << 7) <= int(rows.min()) <= int(rows.max()) < 1 << 7:
        return found
    units = width * source.channels
    staging = Staging(Unit.BYTES, units, result.width, (), height, node.stride[0], 4 * result.width)
    return [*found, (staging, rows.reshape(filters, -1))]


def vector_weights(node: Conv) -> npt.NDArray[np.int8]:
    """Weights as `conv_vector.h` takes them: (sixteens of filters, window row, four, 16, 4)."""
    filters, _, height, _ = node.weights.shape
    rows = node.weights.transpose(0, 2, 3, 1).reshape(filters, height, -1)
    padded = np.pad(rows, ((0, -filters % 16), (0, 0), (0, -rows.shape[2] % 4)))
    blocks = padded.reshape(-1, 16, height, padded.shape[2] // 4, 4)
    return blocks.transpose(0, 2, 3, 1, 4).astype(np.int8)


def _fit(words: IntArray, largest: int) -> tuple[Run, ...] | None:
    """The longest runs of every four filters; None where one unit is too many, or runs are.

    Args:
        words: weights (filters, units, of a unit).
    """
    negative = largest * np.maximum(-words, 0).sum(axis=2)
    positive = largest * np.maximum(words, 0).sum(axis=2)
    runs = []
    for first in range(0, len(words), FILTERS):
        four = slice(first, first + FILTERS)
        run = _longest(negative[four], positive[four])
        if run is None or run.minus > _MOST_RUNS * run.offset:
            return None
        runs.append(run)
    return tuple(runs)


def _longest(negative: IntArray, positive: IntArray) -> Run | None:
    count = negative.shape[1]
    lengths = [n for n in range(1, _LONGEST) if n < _UNROLLED or n % _UNROLLED == 0]
    for run in [count, *(n for n in reversed(lengths) if n < count)]:
        starts = np.arange(0, count, run)
        offset = int(np.add.reduceat(negative, starts, axis=1).max())
        if offset + int(np.add.reduceat(positive, starts, axis=1).max()) <= _BYTE:
            return Run(run, offset, len(starts) * offset)
    return None
