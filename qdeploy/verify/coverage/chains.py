"""Where a fault of a sum is first observed: at the sum itself, or as a code behind its thresholds.

Rungs observe every boundary. A fault of a layer changes an observed code if and only if it changes
one at the layer's own boundary: what comes after is computed from that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.errors import InternalError
from qdeploy.ir.integer_graph import Bias, IntArray, IntegerGraph, Threshold


@dataclass(frozen=True)
class Chain:
    """What follows a sum up to the boundary where it is observed.

    Args:
        bias: (channels,) added to the sum on the way, or 0.
        threshold: that turns the sum into a code, None where the sum is observed.
        output: the boundary.
    """

    bias: IntArray
    threshold: Threshold | None
    output: str


def chain_of(graph: IntegerGraph, tensor: str) -> Chain:
    """The chain behind a tensor that holds sums."""
    boundaries, bias = set(graph.boundaries()), np.zeros(1, dtype=np.int64)
    while tensor not in boundaries:
        node = graph.consumers(tensor)[0]
        if isinstance(node, Threshold):
            return Chain(bias, node, node.output)
        if not isinstance(node, Bias):
            raise InternalError(f"`{tensor}` is no boundary, and `{node.name}` reads it")
        bias, tensor = bias + node.bias, node.output
    return Chain(bias, None, tensor)
