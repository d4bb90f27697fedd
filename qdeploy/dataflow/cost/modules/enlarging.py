"""Maps with more pixels: repeated, with zeros between them, made of channels."""

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


@features_of("qd_upsample")
def upsample(p: Parameters) -> Features:
    """`qd_upsample`: a ring of words; the counters of writer and reader are the logic."""
    width, fold, columns, tall, wide = ints(p, "WIDTH", "CF", "W", "KH", "KW")
    depth = max(columns * fold if tall > 1 else fold, 4)
    counters = sum(map(cycle_bits, (fold, wide, columns, tall)))
    return _memory(p, width, depth, counters + 2 * clog2(depth + 1))


@features_of("qd_depth_to_space")
def depth_to_space(p: Parameters) -> Features:
    """`qd_depth_to_space`: two rows; the counters of writer and reader are the logic."""
    width, fold, columns, block = ints(p, "WIDTH", "CF", "W", "B")
    row = columns * block * block * fold
    counters = sum(map(cycle_bits, (row, block * fold, columns, block)))
    return _memory(p, width, 2 * row, counters)


@features_of("qd_dilate")
def dilate(p: Parameters) -> Features:
    """`qd_dilate`."""
    width, fold = ints(p, "WIDTH", "CF")
    counters = sum(map(cycle_bits, (fold, *ints(p, "H", "W", "SH", "SW"))))
    return Features("", (1, width, counters), (1, width, counters))


def _memory(p: Parameters, width: int, depth: int, counters: int) -> Features:
    mapped = MEASURED.ram(width, depth, str(p.get("RAM_STYLE", "auto")))
    lut = (1, clog2(depth), counters, switches(width, mapped), mapped.banks - 1)
    stored = width if mapped.kind != "block" else 0
    return Features("", lut, (1, clog2(depth), counters, stored), mapped.lutram, mapped.bram18)
