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
LUT_PER_SEARCH_BIT = 0.5  # one comparison of a search, per accumulator bit
LUT_SEARCH_STEP = 9
LUT_PER_SUM_BIT = 1.3  # requantization: multiplier, sum and saturation, per bit of the sum
LUT_PER_STAGE_BIT = 1.5  # multiplication in tables: one bit of the multiplier, per accumulator bit
LUT_REQUANT_BASE = 50
LUT_PER_ROM_BIT = 1 / 64  # constant memory in LUTs
LUT_ROM_WORDS = 1024  # deeper memories of a search are block RAM
LUT_MVU_BASE = 90
LUT_PER_STREAM_BIT = 2.0  # FIFO, width conversion and skid registers, per bit of stream width
LUT_WINDOW_BASE = 120
# Half a BRAM36: bits a word and words.
BRAM18_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))
# Multipliers this narrow are smaller in tables than a DSP block is dear.
MAX_TABLE_MULTIPLIER = 2


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
    planes: bool,
    dsp: bool,
    block_rom: bool,
) -> Cost:
    """A matrix-vector unit of `lanes` = PE·SIMD with weights `depth` words deep, sums only."""
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
        bram = block_ram(width, depth)
    else:
        lut += width * depth * LUT_PER_ROM_BIT
    lut += pe * accumulator_bits * 2 + LUT_MVU_BASE
    return Cost(lut, bram, lanes if dsp else 0)


def thresholds(*, pe: int, bits: int, levels: int, channels: int = 1) -> Cost:
    """`levels` thresholds on PE lanes of `bits` bits: side by side, or a search beyond 15."""
    if levels <= 15:
        return Cost(pe * levels * bits * LUT_PER_COMPARE_BIT)
    steps = levels.bit_length()
    lut, bram = steps * (bits * LUT_PER_SEARCH_BIT + LUT_SEARCH_STEP), 0.0
    for step in range(steps):
        words = ceil(channels / pe) << step
        if words < LUT_ROM_WORDS:
            lut += words * bits * LUT_PER_ROM_BIT
        else:
            bram += block_ram(bits, words)
    return Cost(pe * lut, pe * bram)


def requantizer(
    *,
    pe: int,
    channels: int,
    accumulator_bits: int,
    multiplier_bits: int,
    bias_bits: int,
    out_bits: int,
) -> Cost:
    """Fixed-point requantization on PE lanes."""
    total = max(accumulator_bits + multiplier_bits, bias_bits) + 1
    lane, dsp = total * LUT_PER_SUM_BIT + 2 * out_bits, 0
    if multiplies_in_dsp(multiplier_bits):
        # hw/rtl/qd_product.v: what is too wide for one block's 25 x 18 signed bits takes two.
        dsp = 1 + (multiplier_bits > (24 if accumulator_bits <= 18 else 17))
        dsp *= 1 + (accumulator_bits > 25)
    else:
        lane += multiplier_bits * accumulator_bits * LUT_PER_STAGE_BIT
    rom = channels * (multiplier_bits + bias_bits) * LUT_PER_ROM_BIT
    return Cost(pe * lane + rom + LUT_REQUANT_BASE, 0.0, pe * dsp)


def multiplies_in_dsp(multiplier_bits: int) -> bool:
    """Whether a requantizer's multiplier is worth a DSP block."""
    return multiplier_bits > MAX_TABLE_MULTIPLIER


def window_unit(*, width: int, words: int, distributed: bool) -> Cost:
    """A sliding window with a line memory of `words` words of `width` bits."""
    if distributed:
        return Cost(LUT_WINDOW_BASE + width * ceil(words / 32))
    return Cost(LUT_WINDOW_BASE, block_ram(width, words))


def block_ram(width: int, words: int) -> float:
    """BRAM36 of a memory, in the best of the shapes half a block has."""
    return min(ceil(width / wide) * ceil(words / deep) for wide, deep in BRAM18_SHAPES) / 2


def stream(bits: int) -> Cost:
    """What lies between two layers at a stream width of `bits`."""
    return Cost(bits * LUT_PER_STREAM_BIT)
