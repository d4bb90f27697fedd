"""What Yosys 0.23 makes of a memory of `width` x `depth` bits on Xilinx parts, as numbers.

`memory_libmap` compares costs, in LUTs or their equivalent, and the smallest wins. For one
read and one write port of one width, or a read port alone, with m = ceil(depth / words of a cell):

    block     129 per RAMB18 (257 per RAMB36, 513 per pair in cascade), every width of a cell
    LUT RAM   8 per group of four LUTs, scaled with the width in use (RAM32M 6 bits, RAM64M 3 bits)
    logic     1/64 per bit of a ROM, 1 per bit that is written
    and       0.5 for each of (m - 1)·width multiplexers and, where it is written, m enables

A style other than "auto" leaves its kind only. ROMs have no LUT RAM: "registers" puts one into LUTs
as logic. Columns with the same bit in every word are dropped before: the figures are exact where no
column is constant (hw/costs/README.md says how that was checked).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

_SWITCH = 0.5
_ROM_BIT = 1 / 64
# Mode, words at width 1 as a power of two, widths, cost, RAMB18s of one cell.
_BLOCKS = (
    (14, (1, 2, 4, 9, 18, 36), 129, 1),
    (15, (1, 2, 4, 9, 18, 36, 72), 257, 2),
    (16, (1, 2, 4, 9), 513, 4),
)
# Words, bits of one group, LUTs of one group, cost, share of the cost that scales with the width.
_LUT_RAMS = ((32, 6, 4, 8.0, 7.0), (64, 3, 4, 8.0, 7.0), (128, 1, 4, 8.0, 8.0))


@dataclass(frozen=True)
class Mapped:
    """What a memory becomes; all zero where it is plain logic.

    Args:
        kind: "block", "lutram" or "logic".
        bram18: RAMB18s, a RAMB36 being two.
        lutram: LUTs as memory.
        banks: cells that follow one another in depth; above 1 there are multiplexers.
    """

    kind: str
    bram18: int = 0
    lutram: int = 0
    banks: int = 1


@functools.lru_cache(maxsize=1 << 16)
def rom(width: int, depth: int, style: str = "auto") -> Mapped:
    """A memory that is read at a clock edge and never written."""
    if style in ("registers", "logic"):
        return Mapped("logic")
    cost, mapped = _block(width, depth, written=False)
    if style == "auto" and width * depth * _ROM_BIT <= cost:
        return Mapped("logic")
    return mapped


@functools.lru_cache(maxsize=1 << 16)
def ram(width: int, depth: int, style: str = "auto") -> Mapped:
    """A memory with a write port and a port that is read at a clock edge."""
    if style in ("registers", "logic"):
        return Mapped("logic")
    candidates = []
    if style in ("auto", "distributed"):
        candidates.append(_lut_ram(width, depth))
    if style in ("auto", "block"):
        candidates.append(_block(width, depth, written=True))
    if style == "auto":
        candidates.append((float(width * depth), Mapped("logic")))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _block(width: int, depth: int, *, written: bool) -> tuple[float, Mapped]:
    best = None
    for bits, widths, price, halves in _BLOCKS:
        for index, unit in enumerate(widths):
            banks = -(-depth // (1 << (bits - index)))
            # Bytes of nine bits have a write enable of their own.
            step = min(9, unit) if written else 1
            cells = -(-banks * (-(-width // step) * step) // unit)
            switches = (banks - 1) * width + (banks if written and banks > 1 else 0)
            cost = price * cells + _SWITCH * switches
            if best is None or cost < best[0]:
                best = (cost, Mapped("block", cells * halves, 0, banks))
    assert best is not None
    return best


def _lut_ram(width: int, depth: int) -> tuple[float, Mapped]:
    best = None
    for words, unit, luts, price, scaled in _LUT_RAMS:
        banks = -(-depth // words)
        groups = banks * -(-width // unit)
        switches = (banks - 1) * width + (banks if banks > 1 else 0)
        cost = (price - scaled) * groups + scaled * banks * width / unit + _SWITCH * switches
        if best is None or cost < best[0]:
            best = (cost, Mapped("lutram", 0, luts * groups, banks))
    assert best is not None
    return best
