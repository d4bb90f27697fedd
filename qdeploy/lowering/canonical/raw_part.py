"""The part of a file before its first quantizer, which is done on the host in the file's order."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper

from qdeploy.lowering.canonical.passes import add_initializer, initializers, replace_node

# Operations of one element, and changes of order.
_KEPT = {
    *("Identity", "Dropout", "Cast", "Mul", "Div", "Add", "Sub", "Neg", "Relu", "Clip"),
    *("Min", "Max"),
    *("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"),
}


def raw_tensors(model: ModelProto) -> set[str]:
    """The input, and what single elements of it become with constants."""
    constant = {tensor.name for tensor in model.graph.initializer} | {""}
    found = {item.name for item in model.graph.input} - constant
    for node in model.graph.node:
        raw = [name for name in node.input if name in found]
        if len(raw) == 1 and node.op_type in _KEPT and {*node.input} <= constant | found:
            found.update(node.output)
    return found


def reshape_each_frame(model: ModelProto, node: NodeProto, shape: tuple[int, ...]) -> bool:
    """Write a node that reshapes frames as a Reshape for any number of them, in place; whether
    that changed anything.

    Args:
        shape: of its result, with the axis of frames.
    """
    target = np.array([0, *shape[1:]], dtype=np.int64)
    if node.op_type == "Reshape":
        known = initializers(model).get(node.input[1])
        if known is not None and np.array_equal(known, target):
            return False
    name = add_initializer(model, f"{node.output[0]}_shape", target)
    new = helper.make_node("Reshape", [node.input[0], name], [node.output[0]], node.name)
    replace_node(model, node, [new])
    return True
