"""Give FINN's layers the widths of the integer graph's exact intervals.

FINN's inference falls back to 32 bits for accumulators, and takes the whole range of a type for
sums. The integer graph knows the interval each accumulator and each sum can take with the real
weights; those are the widths the hardware gets. Accumulators are signed, for thresholds are
compared with sign; sums of codes are as they come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.dataflow.finn.nodes import finn_type, hw_nodes
from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import Add, Bias, GlobalSum, IntegerGraph, IntType, Node, Tensor

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


def signed_type(tensor: Tensor) -> IntType:
    """The narrowest signed type for a tensor's exact interval."""
    return IntType.holding(min(tensor.lo, -1), tensor.hi)


def _bias_type(graph: IntegerGraph, node: Bias) -> IntType:
    """One type for the sum and both operands, so that the adder needs no truncation."""
    terms = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    lowest = min(*(term.lo for term in terms), int(node.bias.min()), -1)
    return IntType.holding(lowest, max(*(term.hi for term in terms), int(node.bias.max())))


def _exact_type(graph: IntegerGraph, owner: Node) -> IntType:
    """The type of the sums of a unit made for `owner`."""
    result = graph.tensors[owner.output]
    match owner:
        case Bias():
            return _bias_type(graph, owner)
        case Add() | GlobalSum():
            return IntType.holding(result.lo, result.hi)
    return signed_type(result)


def set_exact_types(model: ModelWrapper, graph: IntegerGraph) -> ModelWrapper:
    """Annotate accumulators and raw outputs in place; returns the model.

    Raises:
        PassError: a matrix unit does not belong to a node of the graph.
    """
    from qonnx.transformation.infer_datatypes import InferDataTypes

    nodes = {node.name: node for node in graph.nodes}
    for layer in hw_nodes(model):
        if not layer.operator.sums:
            continue
        if layer.layer not in nodes:
            raise PassError(f"unit `{layer.name}` belongs to no node of the integer graph")
        exact = _exact_type(graph, nodes[layer.layer])
        layer.instance.set_sum_type(model, finn_type(exact))
    InferDataTypes().apply(model)
    return model
