"""Sum over all pixels."""

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


@features_of("qd_global_sum")
def global_sum(p: Parameters) -> Features:
    """`qd_global_sum`."""
    lanes, folds, pixels, out = ints(p, "PE", "CF", "PIXELS", "OB")
    mapped = MEASURED.ram(lanes * out, folds) if folds > 1 else Mapped("logic")
    counters = cycle_bits(folds) + cycle_bits(pixels)
    lut = (1, lanes * out, counters, clog2(folds), switches(lanes * out, mapped))
    stored = 2 * lanes * out + (lanes * out if mapped.kind != "block" else 0)
    return Features("", lut, (1, stored, counters), mapped.lutram, mapped.bram18)
