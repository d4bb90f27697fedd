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

from qdeploy.dataflow.finn.nodes import layer_of
from qdeploy.dataflow.rtl.memories import MAX_PARALLEL_LEVELS
from qdeploy.ir.fixed_point import fit_fixed_point
from qdeploy.ir.integer_graph import Add, Bias, Conv, Dense, GlobalSum, IntegerGraph, Threshold
from qdeploy.ir.intervals import Intervals, node_intervals

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper


def plan_requantization(model: ModelWrapper, graph: IntegerGraph) -> ModelWrapper:
    """Fit every layer of more than 15 levels, in place; returns the model."""
    from qonnx.custom_op.registry import getCustomOp

    nodes = {node.name: node for node in graph.nodes}
    for node in model.graph.node:
        thresholds = thresholds_of(model, node)
        if thresholds is None or thresholds.shape[1] <= MAX_PARALLEL_LEVELS:
            continue
        owner = nodes[layer_of(model, node)]
        sums = owner.inputs[0] if isinstance(owner, Threshold) else owner.output
        interval = channel_intervals(graph, sums)
        lo, hi = (np.array(ends, dtype=np.int64) for ends in (interval.lo, interval.hi))
        table = np.broadcast_to(thresholds, (len(lo), thresholds.shape[1]))
        inst = getCustomOp(node)
        found = fit_fixed_point(table, lo, hi, int(inst.get_nodeattr("ActVal")))
        if found is not None:
            inst.set_fixed_point(found)
    return model


def thresholds_of(model: ModelWrapper, node: NodeProto) -> np.ndarray | None:
    """The thresholds (channels or 1, levels) of a hardware layer, None where it has none."""
    if node.op_type.startswith(("MVAU", "VVAU")) and len(node.input) == 3:
        table = model.get_initializer(node.input[2])
    elif node.op_type.startswith("Thresholding"):
        table = model.get_initializer(node.input[1])
    else:
        return None
    return np.asarray(table).astype(np.int64)


def channel_intervals(graph: IntegerGraph, tensor: str) -> Intervals:
    """Exact interval of each channel of a tensor: of sums for itself, of codes all alike."""
    node, found = graph.producer(tensor), graph.tensors[tensor]
    match node:
        case Conv() | Dense():
            return node_intervals(node, graph.tensors[node.inputs[0]])
        case Add():
            left, right = (channel_intervals(graph, name) for name in node.inputs)
            return left.plus(right)
        case GlobalSum():
            _, height, width = graph.tensors[node.inputs[0]].shape
            return channel_intervals(graph, node.inputs[0]).times(height * width)
        case Bias():
            bias = tuple(node.bias.tolist())
            return channel_intervals(graph, node.inputs[0]).plus(Intervals(bias, bias))
    return Intervals((found.lo,) * found.shape[0], (found.hi,) * found.shape[0])
