"""Which layers can multiply instead of searching their thresholds.

    requires   RTL backends, named after the integer graph's nodes
    transform  for more than 15 levels, fixed-point numbers fitted over the exact interval of each
               channel's sums go into the node's attributes
    ensures    a node that carries numbers gets every code of its thresholds from them

Where no numbers fit (ties of a factor that is no binary fraction, say) the node stays as it is and
its thresholds are searched. The folding may still prefer the search where DSP blocks run out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qdeploy.dataflow.finn.nodes import hw_nodes
from qdeploy.dataflow.rtl.memories import MAX_PARALLEL_LEVELS
from qdeploy.ir.fixed_point import fit_fixed_point
from qdeploy.ir.integer_graph import (
    Add,
    Bias,
    Concat,
    Conv,
    Dense,
    GlobalSum,
    IntegerGraph,
    Threshold,
)
from qdeploy.ir.intervals import Intervals, node_intervals

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


def fit_requantization(model: ModelWrapper, graph: IntegerGraph) -> ModelWrapper:
    """Fit every layer of more than 15 levels, in place; returns the model."""
    nodes = {node.name: node for node in graph.nodes}
    for layer in hw_nodes(model):
        if not layer.has_thresholds:
            continue
        thresholds = layer.thresholds()
        if thresholds.shape[1] <= MAX_PARALLEL_LEVELS:
            continue
        owner = nodes[layer.layer]
        sums = owner.inputs[0] if isinstance(owner, Threshold) else owner.output
        interval = channel_intervals(graph, sums)
        lo, hi = (np.array(ends, dtype=np.int64) for ends in (interval.lo, interval.hi))
        table = np.broadcast_to(thresholds, (len(lo), thresholds.shape[1]))
        found = fit_fixed_point(table, lo, hi, layer.integer("ActVal"))
        if found is not None:
            layer.instance.set_fixed_point(found)
    return model


def channel_intervals(graph: IntegerGraph, tensor: str) -> Intervals:
    """Exact interval of each channel of a tensor: its own for sums, the same one for codes."""
    node, found = graph.producer(tensor), graph.tensors[tensor]
    match node:
        case Conv() | Dense():
            return node_intervals(node, graph.tensors[node.inputs[0]])
        case Add():
            left, right = (channel_intervals(graph, name) for name in node.inputs)
            return left.plus(right)
        case Concat():
            return Intervals.joined(channel_intervals(graph, name) for name in node.inputs)
        case GlobalSum():
            _, height, width = graph.tensors[node.inputs[0]].shape
            return channel_intervals(graph, node.inputs[0]).times(height * width)
        case Bias():
            bias = tuple(node.bias.tolist())
            return channel_intervals(graph, node.inputs[0]).plus(Intervals(bias, bias))
    return Intervals((found.lo,) * found.shape[0], (found.hi,) * found.shape[0])
