"""Maximum of a window."""

from __future__ import annotations

from qdeploy.dataflow.cost.features import Features, Parameters, cycle_bits, features_of, ints


@features_of("qd_maxpool")
def maxpool(p: Parameters) -> Features:
    """`qd_maxpool`: comparing few bits is a table, more are a chain and a multiplexer."""
    size, lanes, bits = ints(p, "K", "PE", "BITS")
    compared = lanes * bits if size > 1 else 0
    chained = compared if bits > 2 else 0
    lut = (1, lanes * bits, compared, chained, cycle_bits(size))
    return Features("", lut, (1, 2 * lanes * bits + compared, cycle_bits(size)))
