"""A graph whose sums are as wide as any weights of the same bits can make them.

A design with weights that are loaded has to hold sums and thresholds of networks that are not known
yet. For a layer of N products of a weight in [w0, w1], all that its bits hold, and an input code in
[a0, a1], all that its type holds or the padding's 0,

    N · min(w·a, 0) <= sum <= N · max(w·a, 0)          over the ends w0, w1 and a0, a1

and a threshold out of reach is the largest sum + 1, which the interval includes. Numbers in nodes
stay as they are. A bias has as many bits as the sum it is added to, or as it has now.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from qdeploy.ir.integer_graph import (
    Add,
    ArgMax,
    Bias,
    Concat,
    Conv,
    Dense,
    Dilate,
    GlobalSum,
    IntArray,
    IntegerGraph,
    IntType,
    Node,
    Tensor,
    Threshold,
)

Interval = tuple[int, int]


def weight_kind(weights: IntArray) -> IntType:
    """Two's complement type of a layer's weights, of two bits or more: what its memory holds."""
    found = IntType.holding(min(int(weights.min()), -1), int(weights.max()))
    return IntType(max(found.bits, 2), True)


def bias_kind(node: Bias, source: Tensor) -> IntType:
    """Two's complement type of a bias that is added to `source`."""
    own = IntType.holding(min(int(node.bias.min()), -1), int(node.bias.max()))
    return IntType(max(own.bits, IntType.holding(min(source.lo, -1), source.hi).bits), True)


def for_any_weights(graph: IntegerGraph) -> IntegerGraph:
    """The graph with the intervals and types that hold for all weights, thresholds and biases."""
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        sources = [tensors[name] for name in node.inputs]
        found = tensors[node.output]
        lo, hi = _interval(node, sources, found)
        dtype = found.dtype
        if isinstance(node, Conv | Dense | Bias | Add | GlobalSum | Concat):
            dtype = IntType.holding(lo, hi)
        elif not isinstance(node, Threshold | ArgMax):
            dtype = sources[0].dtype
        tensors[node.output] = replace(found, lo=lo, hi=hi, dtype=dtype)
    return replace(graph, tensors=tensors)


def _interval(node: Node, sources: list[Tensor], output: Tensor) -> Interval:
    """Of a node's output, its inputs being of the widened graph."""
    source = sources[0]
    match node:
        case Conv() | Dense():
            kind, count = weight_kind(node.weights), node.weights[0].size
            ends = [w * a for w, a in product((kind.lo, kind.hi), (source.lo, source.hi))]
            # One more: a threshold that no sum reaches.
            return count * min(*ends, 0), count * max(*ends, 0) + 1
        case Bias():
            bias = bias_kind(node, source)
            return source.lo + bias.lo, source.hi + bias.hi
        case Threshold():
            return node.base, node.base + node.thresholds.shape[1]
        case Add():
            return source.lo + sources[1].lo, source.hi + sources[1].hi
        case GlobalSum():
            pixels = int(np.prod(source.shape[1:]))
            return pixels * source.lo, pixels * source.hi
        case Concat():
            return min(one.lo for one in sources), max(one.hi for one in sources)
        case Dilate():
            return min(source.lo, 0), max(source.hi, 0)
        case ArgMax():
            return output.lo, output.hi
    return source.lo, source.hi
