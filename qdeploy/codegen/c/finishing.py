"""What becomes of a sum where it is made: a bias, a table of thresholds, or a line.

    nothing   out = acc
    bias      out = acc + b[c]
    search    out = base + #{k : acc >= T[c, k]}                    entries of 8, 16 or 32 bits
    lookup    out = codes[acc - base]                               few sums, all channels alike
    line32    out = base - least + clip((M·acc + B) >> shift, least, least + levels)   unsigned
    line      out = clip(floor((M·acc + B) / 2^shift), base, base + levels)            64 bits

Biases before a table go into it: acc + b >= T is acc >= T - b. A line is taken where its numbers
take less flash than the table. For line32 the addend is raised by a multiple of 2^shift so that no
sum there can be makes M·acc + B negative or takes it beyond 32 bits; both kinds are checked here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.codegen.c.elements import Element
from qdeploy.ir.fixed_point import FixedPoint, fit_fixed_point
from qdeploy.ir.integer_graph import IntArray

# Tables of no more levels are always searched: a few comparisons, no product of 64 bits.
FEW_LEVELS = 3
# Sums that are looked up.
FEW_SUMS = 64
_MOST_LEAST = (1 << 16) - 1
# Bytes of a line's multiplier and bias.
_LINE_BYTES = 12
_MOST = (1 << 63) - 1
_ENTRIES = (Element.I8, Element.I16, Element.I32)


@dataclass(frozen=True)
class ShortLine:
    """A line in 32 bits without signs; arrays of one entry where channels share it.

    Args:
        multiplier, addend: (channels,) modulo 2^32.
        least: what becomes of the lowest code before it is brought to the base.
    """

    multiplier: IntArray
    addend: IntArray
    shift: int
    least: int
    levels: int


@dataclass(frozen=True)
class Finish:
    """Bias or quantization of a sum.

    Args:
        bias: (channels,), None where nothing is added.
        table: (channels, levels) ascending thresholds of the sum without bias.
        element: type of the table's entries.
        line: the same function as the table.
        base: code below all thresholds; of a lookup the sum that the first code is for.
        line32: the line in 32 bits.
        codes: low byte of the code of every sum.
    """

    bias: IntArray | None = None
    table: IntArray | None = None
    element: Element = Element.I32
    line: FixedPoint | None = None
    base: int = 0
    line32: ShortLine | None = None
    codes: IntArray | None = None

    @property
    def flash(self) -> int:
        """Bytes of its constants."""
        if self.codes is not None:
            return len(self.codes)
        if self.line32 is not None:
            return 8 * len(self.line32.addend)
        if self.line is not None:
            return _LINE_BYTES * (1 if self.line.shared else len(self.line.bias))
        if self.table is not None:
            return int(self.table.size) * self.element.size
        return 0 if self.bias is None else 4 * len(self.bias)


def quantized(
    thresholds: IntArray,
    base: int,
    bias: IntArray,
    lo: IntArray,
    hi: IntArray,
    *,
    byte: bool = False,
) -> Finish:
    """The finish of a sum that a table quantizes.

    Args:
        thresholds: (channels, levels), of the sum with its bias.
        bias: (channels,).
        lo, hi: (channels,) interval of the sum without its bias.
        byte: whether a code is held in a byte.
    """
    table = np.clip(thresholds - bias[:, None], lo[:, None], hi[:, None] + 1)
    element = next(e for e in _ENTRIES if e.lo <= table.min() and table.max() <= e.hi)
    shared = bool((table == table[0]).all())
    searched = Finish(table=table[:1] if shared else table, element=element, base=base)
    if table.shape[1] <= FEW_LEVELS:
        return searched
    first, last = int(lo.min()), int(hi.max())
    if shared and byte and last - first < FEW_SUMS:
        sums = np.arange(first, last + 1, dtype=np.int64)
        codes = base + (sums[:, None] >= table[0]).sum(axis=1)
        return Finish(codes=codes & 0xFF, base=first)
    line = fit_fixed_point(table, lo, hi, base)
    if line is None:
        return searched
    if (short := _within_32_bits(line, lo, hi)) is not None:
        fitted = Finish(line32=short, base=base)
    elif _within_64_bits(line, lo, hi):
        fitted = Finish(line=line, base=base)
    else:
        return searched
    return fitted if fitted.flash < searched.flash else searched


def _within_32_bits(line: FixedPoint, lo: IntArray, hi: IntArray) -> ShortLine | None:
    if line.even:
        return None
    count = 1 if line.shared else len(line.multiplier)
    least = int((line.multiplier * lo + line.bias).min())  # within 62 bits, by fit_fixed_point
    more = max(-(least >> line.shift), -line.base, 0)
    most = int((line.multiplier * hi + line.bias).max()) + (more << line.shift)
    if most >= 1 << 32 or line.base + more + line.levels > _MOST_LEAST:
        return None
    return ShortLine(
        line.multiplier[:count],
        (line.bias[:count] + (more << line.shift)) % (1 << 32),
        line.shift,
        line.base + more,
        line.levels,
    )


def _within_64_bits(line: FixedPoint, lo: IntArray, hi: IntArray) -> bool:
    for m, b, low, high in zip(line.multiplier, line.bias, lo, hi, strict=True):
        ends = [int(m) * int(low) + int(b), int(m) * int(high) + int(b)]
        if int(m) >= 1 << 31 or max(abs(value) for value in (*ends, int(b))) > _MOST:
            return False
    return True
