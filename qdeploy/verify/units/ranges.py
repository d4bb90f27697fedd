"""Per channel, the smallest and the largest integer of a tensor, in exact arithmetic."""

from __future__ import annotations

import numpy as np

from qdeploy.ir.integer_graph import (
    Add,
    Bias,
    Concat,
    Conv,
    Dense,
    GlobalSum,
    IntArray,
    IntegerGraph,
)
from qdeploy.ir.intervals import Intervals, node_intervals


def channel_range(graph: IntegerGraph, tensor: str) -> tuple[IntArray, IntArray]:
    """Ends (channels,) of what each channel of a tensor can be.

    Sums are followed to the codes they are made of, branches taken as independent; the tensor's own
    interval bounds the result. Every frame stays inside, so what holds for all integers in between
    holds for every frame.
    """
    found, own = _followed(graph, tensor), graph.tensors[tensor]
    return np.maximum(found.lo, own.lo), np.minimum(found.hi, own.hi)


def _followed(graph: IntegerGraph, tensor: str) -> Intervals:
    node, own = graph.producer(tensor), graph.tensors[tensor]
    if isinstance(node, Conv | Dense):
        return node_intervals(node, graph.tensors[node.inputs[0]])
    if isinstance(node, Add):
        return _followed(graph, node.inputs[0]).plus(_followed(graph, node.inputs[1]))
    if isinstance(node, Concat):
        return Intervals.joined(_followed(graph, name) for name in node.inputs)
    if isinstance(node, GlobalSum):
        _, rows, columns = graph.tensors[node.inputs[0]].shape
        return _followed(graph, node.inputs[0]).times(rows * columns)
    if isinstance(node, Bias):
        bias = tuple(int(value) for value in node.bias)
        return _followed(graph, node.inputs[0]).plus(Intervals(bias, bias))
    channels = own.shape[0]
    return Intervals((own.lo,) * channels, (own.hi,) * channels)
