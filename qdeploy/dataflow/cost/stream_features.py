"""What a block's size is made of: counts that its LUTs and flip-flops are nearly linear in.

Each function takes the Verilog parameters of one module of `hw/rtl` and gives its `Features`: how
many adder bits, comparator bits, multiplexer bits, counter bits, ROM tables, registers there are,
from the module's own structure. `hw/costs/` holds what one of each takes, fitted to measured
blocks; block RAMs and DSP blocks are counted exactly. Here are the blocks that move and shape
streams; `cost_features_units` has those that multiply and compare.
"""

from __future__ import annotations

from qdeploy.dataflow.cost.features import Features, Parameters, clog2, cycle_bits, ints, switches
from qdeploy.devices.xc7_memories import Mapped, ram


def fork(p: Parameters) -> Features:
    """`qd_fork`."""
    return Features("", (1,), (1,))


def extend(p: Parameters) -> Features:
    """`qd_extend`: wires."""
    return Features("", (0,), (0,))


def tlast(p: Parameters) -> Features:
    """`qd_tlast`."""
    (beats,) = ints(p, "BEATS")
    return Features("", (1, clog2(beats)), (1, clog2(beats)))


def add(p: Parameters) -> Features:
    """`qd_add`."""
    lanes, bits, first, second = ints(p, "PE", "OB", "B0", "B1")
    return Features("", (1, lanes * bits, lanes * min(first, second)), (1, 2 * lanes * bits))


def dwc(p: Parameters) -> Features:
    """`qd_dwc`: towards narrow beats the word is shifted behind a multiplexer."""
    narrow, wide = sorted(ints(p, "IN_WIDTH", "OUT_WIDTH"))
    ratio = wide // narrow
    down = ints(p, "IN_WIDTH")[0] > narrow
    shifted = wide - narrow if down else 0
    return Features("", (1, clog2(ratio), shifted), (1, clog2(ratio), wide))


def fifo(p: Parameters) -> Features:
    """`qd_fifo`: registers up to two words, else a memory."""
    width, depth = ints(p, "WIDTH", "DEPTH")
    if depth <= 2:
        return Features("registers", (1, width * (depth - 1)), (1, width * depth))
    mapped = ram(width, depth, str(p.get("RAM_STYLE", "auto")))
    address = clog2(depth)
    # Addresses of another depth than a power of two are compared with the last one.
    compared = address if depth != 1 << address else 0
    lut = (1, address, switches(width, mapped), mapped.banks - 1, compared)
    stored = width if mapped.kind != "block" else 0
    return Features("memory", lut, (1, address, stored), mapped.lutram, mapped.bram18)


def pad(p: Parameters) -> Features:
    """`qd_pad`."""
    width, fold = ints(p, "WIDTH", "CF")
    height, columns, top, left, bottom, right = ints(p, "H", "W", "PT", "PL", "PB", "PR")
    counters = cycle_bits(fold) + cycle_bits(top + height + bottom)
    counters += cycle_bits(left + columns + right)
    return Features("", (1, width, counters), (1, width, counters))


def maxpool(p: Parameters) -> Features:
    """`qd_maxpool`: comparing few bits is a table, more are a chain and a multiplexer."""
    size, lanes, bits = ints(p, "K", "PE", "BITS")
    compared = lanes * bits if size > 1 else 0
    chained = compared if bits > 2 else 0
    lut = (1, lanes * bits, compared, chained, cycle_bits(size))
    return Features("", lut, (1, 2 * lanes * bits + compared, cycle_bits(size)))


def global_sum(p: Parameters) -> Features:
    """`qd_global_sum`."""
    lanes, folds, pixels, out = ints(p, "PE", "CF", "PIXELS", "OB")
    mapped = ram(lanes * out, folds) if folds > 1 else Mapped("logic")
    counters = cycle_bits(folds) + cycle_bits(pixels)
    lut = (1, lanes * out, counters, clog2(folds), switches(lanes * out, mapped))
    stored = 2 * lanes * out + (lanes * out if mapped.kind != "block" else 0)
    return Features("", lut, (1, stored, counters), mapped.lutram, mapped.bram18)


def argmax(p: Parameters) -> Features:
    """`qd_argmax`: a match for each lane but one, and one against the best so far."""
    number, lanes, bits, index = ints(p, "N", "PE", "BITS", "IDX")
    lut = (1, lanes * bits, lanes * index, cycle_bits(number // lanes))
    return Features("", lut, (1, 2 * lanes * bits, lanes * index))


def window(p: Parameters) -> Features:
    """`qd_window`: a ring of rows; the counters of writer and reader are the logic."""
    width, fold, height, columns = ints(p, "WIDTH", "CF", "H", "W")
    tall, wide, down, right, dh, dw = ints(p, "KH", "KW", "SH", "SW", "DH", "DW")
    span = dh * (tall - 1) + 1
    ahead = int(p.get("AHEAD", 0)) or span
    depth = (span + ahead) * columns * fold
    mapped = ram(width, depth, str(p.get("RAM_STYLE", "auto")))
    out_rows = (height - span) // down + 1
    out_columns = (columns - dw * (wide - 1) - 1) // right + 1
    address = clog2(depth)
    counters = 2 * cycle_bits(fold) + sum(map(cycle_bits, (height, columns)))
    counters += sum(map(cycle_bits, (wide, tall, out_columns, out_rows)))
    level = clog2(out_columns * (span + ahead) + 1)
    rows = address if tall > 1 else 0
    banks = switches(width, mapped), mapped.banks - 1
    lut = (1, address, rows, counters, level, *banks)
    stored = width if mapped.kind != "block" else 0
    ff = (1, address, rows, counters + level, stored)
    return Features("", lut, ff, mapped.lutram, mapped.bram18)


def window_parallel(p: Parameters) -> Features:
    """`qd_window_parallel`: a line memory and the window's registers."""
    width, height, columns = ints(p, "WIDTH", "H", "W")
    tall, wide, dh, dw = ints(p, "KH", "KW", "DH", "DW")
    above = dh * (tall - 1)
    mapped = Mapped("logic")
    if above and columns > 1:
        mapped = ram(above * width, columns, str(p.get("RAM_STYLE", "auto")))
    counters = cycle_bits(height) + cycle_bits(columns)
    lut = (1, counters, clog2(columns), switches(above * width, mapped))
    word = above * width if mapped.kind != "block" else 0
    ff = (1, counters + 2 * clog2(columns), word, width, (dw * (wide - 1) + 1) * tall * width)
    return Features("", lut, ff, mapped.lutram, mapped.bram18)
