"""Sums inside units: their interval, and whether an accumulator is wide enough for it."""

from __future__ import annotations

from qdeploy.ir.integer_graph import IntType
from qdeploy.verify.memories.codes import SumMap
from qdeploy.verify.memories.reader import LayerReading


def check_accumulator(reading: LayerReading, what: str, bits: int, sums: SumMap) -> bool:
    """Whether every sum of the unit fits `bits` bits in two's complement: sums wrap around, and
    only results have to fit."""
    unit = reading.unit
    assert unit.sum_lo is not None and unit.sum_hi is not None
    ends = [sums.apply(end[:, None]) for end in (unit.sum_lo, unit.sum_hi)]
    return reading.wide_enough(
        what, IntType(bits, True), int(min(e.min() for e in ends)), int(max(e.max() for e in ends))
    )
