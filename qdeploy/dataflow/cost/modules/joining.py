"""Channels of two streams in one."""

from __future__ import annotations

from qdeploy.dataflow.cost.features import Features, Parameters, cycle_bits, features_of, ints


@features_of("qd_concat")
def concat(p: Parameters) -> Features:
    """`qd_concat`: a choice of one of two beats, and a register."""
    lanes, bits, first, second = ints(p, "PE", "OB", "CF0", "CF1")
    counters = cycle_bits(first) + cycle_bits(second)
    return Features("", (1, lanes * bits, counters), (1, 2 * lanes * bits, counters))


@features_of("qd_beside")
def beside(p: Parameters) -> Features:
    """`qd_beside`: a register."""
    first, second, bits = ints(p, "L0", "L1", "OB")
    wide = (first + second) * bits
    return Features("", (1, wide), (1, 2 * wide))
