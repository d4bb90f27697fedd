"""What a hardware layer costs, estimated before synthesis.

Figures per lane were measured with Yosys 0.23 (`synth_xilinx -family xc7`) on the blocks of
`hw/rtl`; they steer the folding and are never reported as results: synthesis has the last word.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

# Slice LUTs per multiply-accumulate lane.
LUT_PER_PLANE_PAIR = 2.1  # one bit of weight times one bit of activation, AND + popcount
LUT_PER_PRODUCT_BIT = 1.9  # a multiplier's LUTs per product of operand widths
LUT_PER_COMPARE_BIT = 0.6  # one threshold comparator, per accumulator bit
LUT_PER_ROM_BIT = 1 / 64  # constant memory in LUTs
LUT_MVU_BASE = 90
LUT_PER_STREAM_BIT = 2.0  # FIFO, width conversion and skid registers, per bit of stream width
LUT_WINDOW_BASE = 120
BRAM36_BITS = 36 * 1024
BRAM36_WIDTH = 72
BRAM36_DEPTH = 512


@dataclass(frozen=True)
class Cost:
    """Estimated resources: slice LUTs, BRAM36 (halves allowed), DSP blocks."""

    lut: float = 0.0
    bram36: float = 0.0
    dsp: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.lut + other.lut, self.bram36 + other.bram36, self.dsp + other.dsp)


def matrix_unit(
    *,
    lanes: int,
    pe: int,
    depth: int,
    weight_bits: int,
    activation_bits: int,
    accumulator_bits: int,
    levels: int,
    planes: bool,
    dsp: bool,
    block_rom: bool,
) -> Cost:
    """A matrix-vector unit of `lanes` = PE·SIMD with weights `depth` words deep."""
    product = weight_bits * activation_bits
    if planes:
        lut = lanes * product * LUT_PER_PLANE_PAIR
    elif dsp:
        lut = lanes * 4.0
    else:
        lut = lanes * product * LUT_PER_PRODUCT_BIT
    width = lanes * weight_bits
    bram = 0.0
    if block_rom:
        bram = ceil(width / (BRAM36_WIDTH / 2)) / 2 * ceil(depth / BRAM36_DEPTH)
    else:
        lut += width * depth * LUT_PER_ROM_BIT
    lut += thresholds(pe=pe, bits=accumulator_bits, levels=levels).lut
    lut += pe * accumulator_bits * 2 + LUT_MVU_BASE
    return Cost(lut, bram, lanes if dsp else 0)


def thresholds(*, pe: int, bits: int, levels: int) -> Cost:
    """`levels` thresholds on PE lanes of `bits` bits: side by side, or a search beyond 15."""
    if levels <= 15:
        return Cost(pe * levels * bits * LUT_PER_COMPARE_BIT)
    return Cost(pe * (bits + 8) * levels.bit_length() * 1.5)


def window_unit(*, width: int, words: int, distributed: bool) -> Cost:
    """A sliding window with a line memory of `words` words of `width` bits."""
    if distributed:
        return Cost(LUT_WINDOW_BASE + width * ceil(words / 32))
    halves = ceil(width / (BRAM36_WIDTH / 2)) * ceil(words / BRAM36_DEPTH)
    return Cost(LUT_WINDOW_BASE, halves / 2)


def stream(bits: int) -> Cost:
    """What lies between two layers at a stream width of `bits`."""
    return Cost(bits * LUT_PER_STREAM_BIT)
