"""Additions of two streams, and of a constant per channel."""

from __future__ import annotations

from qdeploy.dataflow.cost.features import (
    LOADS,
    Features,
    Parameters,
    clog2,
    features_of,
    ints,
    memory,
    rom_luts,
)


@features_of("qd_add")
def add(p: Parameters) -> Features:
    """`qd_add`."""
    lanes, bits, first, second = ints(p, "PE", "OB", "B0", "B1")
    return Features("", (1, lanes * bits, lanes * min(first, second)), (1, 2 * lanes * bits))


@features_of("qd_bias")
def bias(p: Parameters) -> Features:
    """`qd_bias`."""
    channels, pe, bits, out = ints(p, "C", "PE", "BB", "OB")
    folds = channels // pe
    table = memory(p, pe * bits, folds)
    tables = rom_luts(pe * bits, folds) if table.kind == "logic" and not p.get(LOADS) else 0.0
    lut, ff = (1, clog2(folds), pe * out, tables), (1, clog2(folds), pe * out)
    return Features("", lut, ff, table.lutram, table.bram18)
