"""A stream to two consumers."""

from __future__ import annotations

from qdeploy.dataflow.cost.features import Features, Parameters, features_of


@features_of("qd_fork")
def fork(p: Parameters) -> Features:
    """`qd_fork`."""
    return Features("", (1,), (1,))
