"""The part of a file before its first quantizer, which is done on the host in the file's order."""

from __future__ import annotations

from onnx import ModelProto

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
        if (
            len(raw) == 1
            and node.op_type in _KEPT
            and all(name in constant or name in found for name in node.input)
        ):
            found.update(node.output)
    return found
