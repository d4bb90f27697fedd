"""Border around a map."""

from __future__ import annotations

from qdeploy.dataflow.cost.features import Features, Parameters, cycle_bits, features_of, ints


@features_of("qd_pad")
def pad(p: Parameters) -> Features:
    """`qd_pad`."""
    width, fold = ints(p, "WIDTH", "CF")
    height, columns, top, left, bottom, right = ints(p, "H", "W", "PT", "PL", "PB", "PR")
    counters = cycle_bits(fold) + cycle_bits(top + height + bottom)
    counters += cycle_bits(left + columns + right)
    return Features("", (1, width, counters), (1, width, counters))
