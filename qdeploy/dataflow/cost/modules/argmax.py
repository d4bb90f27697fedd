"""Index of the largest logit."""

from __future__ import annotations

from qdeploy.dataflow.cost.features import Features, Parameters, cycle_bits, features_of, ints


@features_of("qd_argmax")
def argmax(p: Parameters) -> Features:
    """`qd_argmax`: a match for each lane but one, and one against the best so far."""
    number, lanes, bits, index = ints(p, "N", "PE", "BITS", "IDX")
    lut = (1, lanes * bits, lanes * index, cycle_bits(number // lanes))
    return Features("", lut, (1, 2 * lanes * bits, lanes * index))
