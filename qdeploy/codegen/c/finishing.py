"""What becomes of a sum where it is made: a bias, a table of thresholds, or a line.

    nothing   out = acc
    bias      out = acc + b[c]
    search    out = base + #{k : acc >= T[c, k]}                    table narrowed to its integers
    search    out = base + #{k : acc >= T[c, k]}                    entries of 8, 16 or 32 bits

Biases before a table go into it: acc + b >= T is acc >= T - b. A line is taken where its numbers
take less flash than the table; it computes in 64 bits, and no product leaves them (checked here).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.codegen.c.elements import Element
from qdeploy.ir.fixed_point import FixedPoint, fit_fixed_point
from qdeploy.ir.integer_graph import IntArray

# Tables of no more levels are always searched: a few comparisons, no product of 64 bits.
FEW_LEVELS = 3
# Bytes of a line's multiplier and bias.
_LINE_BYTES = 12
_MOST = (1 << 63) - 1
_ENTRIES = (Element.I8, Element.I16, Element.I32)


@dataclass(frozen=True)
class Finish:
    """Bias or quantization of a sum.

    Args:
        bias: (channels,), None where nothing is added.
        table: (channels, levels) ascending thresholds of the sum without bias.
        element: type of the table's entries.
        line: the same function as the table.
        base: code below all thresholds.
    """

    bias: IntArray | None = None
    table: IntArray | None = None
    element: Element = Element.I32
    line: FixedPoint | None = None
    base: int = 0

    @property
    def flash(self) -> int:
        """Bytes of its constants."""
        if self.line is not None:
            return _LINE_BYTES * (1 if self.line.shared else len(self.line.bias))
        if self.table is not None:
            return int(self.table.size) * self.element.size
        return 0 if self.bias is None else 4 * len(self.bias)


def quantized(
    thresholds: IntArray, base: int, bias: IntArray, lo: IntArray, hi: IntArray
) -> Finish:
    """The finish of a sum that a table quantizes.

    Args:
        thresholds: (channels, levels), of the sum with its bias.
        bias: (channels,).
        lo, hi: (channels,) interval of the sum without its bias.
    """
    table = np.clip(thresholds - bias[:, None], lo[:, None], hi[:, None] + 1)
    element = next(e for e in _ENTRIES if e.lo <= table.min() and table.max() <= e.hi)
    searched = Finish(table=table, element=element, base=base)
    if table.shape[1] <= FEW_LEVELS:
        return searched
    line = fit_fixed_point(table, lo, hi, base)
    if line is None or not _within_64_bits(line, lo, hi):
        return searched
    fitted = Finish(line=line, base=base)
    return fitted if fitted.flash < searched.flash else searched


def _within_64_bits(line: FixedPoint, lo: IntArray, hi: IntArray) -> bool:
    for m, b, low, high in zip(line.multiplier, line.bias, lo, hi, strict=True):
        ends = [int(m) * int(low) + int(b), int(m) * int(high) + int(b)]
        if int(m) >= 1 << 31 or max(abs(value) for value in (*ends, int(b))) > _MOST:
            return False
    return True
