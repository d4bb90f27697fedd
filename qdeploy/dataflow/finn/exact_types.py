"""Give FINN's layers the widths of the integer graph's exact intervals.

FINN's inference falls back to 32 bits for accumulators, and takes the whole range of a type for
sums. The integer graph knows the interval each accumulator and each sum can take with the real
weights; those are the widths the hardware gets. Accumulators are signed, for thresholds are
compared with sign; sums of codes are as they come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.dataflow.finn.nodes import SUM_TYPE, finn_type, layer_of
from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import Add, Bias, GlobalSum, IntegerGraph, IntType, Tensor

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


def signed_type(tensor: Tensor) -> IntType:
    """The narrowest signed type for a tensor's exact interval."""
    return IntType.holding(min(tensor.lo, -1), tensor.hi)


def _sum_type(graph: IntegerGraph, node: Bias) -> IntType:
    """One type for the sum and both operands, so that the adder needs no truncation."""
    terms = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    lowest = min(*(term.lo for term in terms), int(node.bias.min()), -1)
    return IntType.holding(lowest, max(*(term.hi for term in terms), int(node.bias.max())))


def set_exact_types(model: ModelWrapper, graph: IntegerGraph) -> ModelWrapper:
    """Annotate accumulators and raw outputs in place; returns the model.

    Raises:
        PassError: a matrix unit does not belong to a node of the graph.
    """
    from onnx import helper
    from qonnx.core.datatype import DataType
    from qonnx.custom_op.registry import getCustomOp
    from qonnx.transformation.infer_datatypes import InferDataTypes

    nodes = {node.name: node for node in graph.nodes}
    for node in model.graph.node:
        if not node.op_type.startswith(("MVAU", "VVAU", "ElementwiseAdd", "GlobalAccPool")):
            continue
        name = layer_of(model, node)
        if name not in nodes:
            raise PassError(f"unit `{node.name}` belongs to no node of the integer graph")
        owner = nodes[name]
        result = graph.tensors[owner.output]
        exact = finn_type(signed_type(result))
        inst = getCustomOp(node)
        if isinstance(owner, Bias):
            exact = finn_type(_sum_type(graph, owner))
        if isinstance(owner, Add | GlobalSum):
            exact = finn_type(IntType.holding(result.lo, result.hi))
        if isinstance(owner, GlobalSum):
            node.attribute.append(helper.make_attribute(SUM_TYPE, exact))
            continue
        if node.op_type.startswith("ElementwiseAdd"):
            for side, tensor in zip(("lhs", "rhs"), node.input, strict=True):
                inst.set_nodeattr(f"{side}_dtype", model.get_tensor_datatype(tensor).name)
            inst.set_nodeattr("out_dtype", exact)
            model.set_tensor_datatype(node.output[0], DataType[exact])
            continue
        inst.set_nodeattr("accDataType", exact)
        if inst.get_nodeattr("noActivation"):
            inst.set_nodeattr("outputDataType", exact)
            model.set_tensor_datatype(node.output[0], DataType[exact])
    InferDataTypes().apply(model)
    return model
