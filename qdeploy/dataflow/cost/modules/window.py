"""Sliding windows."""

from __future__ import annotations

from qdeploy.dataflow.cost.features import (
    MEASURED,
    Features,
    Parameters,
    clog2,
    cycle_bits,
    features_of,
    ints,
    switches,
)
from qdeploy.devices.xc7_memories import Mapped


@features_of("qd_window")
def window(p: Parameters) -> Features:
    """`qd_window`: a ring of rows; the counters of writer and reader are the logic."""
    width, fold, height, columns = ints(p, "WIDTH", "CF", "H", "W")
    tall, wide, down, right, dh, dw = ints(p, "KH", "KW", "SH", "SW", "DH", "DW")
    span = dh * (tall - 1) + 1
    ahead = int(p.get("AHEAD", 0)) or span
    depth = (span + ahead) * columns * fold
    mapped = MEASURED.ram(width, depth, str(p.get("RAM_STYLE", "auto")))
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


@features_of("qd_window_parallel")
def window_parallel(p: Parameters) -> Features:
    """`qd_window_parallel`: a line memory and the window's registers."""
    width, height, columns = ints(p, "WIDTH", "H", "W")
    tall, wide, dh, dw = ints(p, "KH", "KW", "DH", "DW")
    above = dh * (tall - 1)
    mapped = Mapped("logic")
    if above and columns > 1:
        mapped = MEASURED.ram(above * width, columns, str(p.get("RAM_STYLE", "auto")))
    counters = cycle_bits(height) + cycle_bits(columns)
    lut = (1, counters, clog2(columns), switches(above * width, mapped))
    word = above * width if mapped.kind != "block" else 0
    ff = (1, counters + 2 * clog2(columns), word, width, (dw * (wide - 1) + 1) * tall * width)
    return Features("", lut, ff, mapped.lutram, mapped.bram18)
