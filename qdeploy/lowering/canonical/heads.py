"""What stands behind the logits: cut off, since the host does it, or the class unit.

    logits -> Softmax, LogSoftmax, Sigmoid -> output          the logits decide
    logits -> ArgMax, TopK -> output                          the class, computed from the logits
    logits -> Identity, Reshape, Transpose -> output          the order of the elements is the same

The output of the canonical form is the logits. A note says what was cut; probabilities, and the k
best classes, are functions of the logits that the driver and the simulators offer.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TypeProto

from qdeploy.lowering.canonical.edit import Edit, attribute
from qdeploy.lowering.canonical.passes import Pass, PassResult
from qdeploy.lowering.canonical.refusal import refuse

_CURVES = ("Softmax", "LogSoftmax", "Sigmoid", "Hardmax")
_CHOICES = ("ArgMax", "TopK")
# Probabilities in codes again, in a file whose every tensor is quantized.
_CODES = ("QuantizeLinear", "DequantizeLinear", "Clip")
_ORDERS = ("Unsqueeze", "Transpose", "Squeeze")
_SHAPES = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast")


class CutHead(Pass):
    """The file's output moves in front of what the host computes from the logits."""

    def call(self, model: ModelProto) -> PassResult:
        edit, notes = Edit(model), []
        output = model.graph.output[0]
        name = current = output.name
        passed: list[str] = []
        while (node := edit.producer(current)) is not None:
            if edit.is_constant(node.input[0]):
                break
            current = node.input[0]
            if node.op_type in _CURVES or node.op_type in _CHOICES:
                _check_axis(edit, node)
                notes.append(_note(node))
                name = current
            elif node.op_type in (*_SHAPES, *_CODES) and edit.producer(current) is not None:
                passed.append(node.op_type)
            else:
                break
        if not notes and passed and passed[0] in _ORDERS:
            # Only the order of the axes, or axes of size 1.
            last = edit.producer(output.name)
            assert last is not None
            name = last.input[0]
        if name == output.name:
            return PassResult(model, False)
        output.name = name
        output.type.CopyFrom(_type_of(model, name) or output.type)
        for item in [item for item in model.graph.value_info if item.name == name]:
            model.graph.value_info.remove(item)
        return PassResult(model, True, notes=tuple(notes))


def _check_axis(edit: Edit, node: NodeProto) -> None:
    """Refuse a choice along another axis than that of the channels.

    Raises:
        UnsupportedLayerError: it is.
    """
    if node.op_type == "Sigmoid":
        return
    shape = edit.shape(node.input[0])
    rank = max(len(shape), 2)
    axis = int(attribute(node, "axis", 0 if node.op_type == "ArgMax" else -1)) % rank
    channels = [k for k in range(1, rank) if not shape or shape[k] != 1] or [1]
    if axis not in (1, *(channels if len(channels) == 1 else ())) and axis != rank - 1:
        raise refuse(
            node,
            f"its axis is {axis} of {shape}",
            why="the class is chosen among the channels of each pixel",
            do="use axis 1",
        )


def _note(node: NodeProto) -> str:
    name = node.name or node.output[0]
    if node.op_type in _CHOICES:
        return (
            f"`{name}` ({node.op_type}) at the end was cut off: the driver and the simulators "
            "choose the class from the logits, or the hardware with --argmax"
        )
    return (
        f"`{name}` ({node.op_type}) at the end was cut off: the network ends in the logits, from "
        "which the host computes it; the class is the same"
    )


def _type_of(model: ModelProto, name: str) -> TypeProto | None:
    return next((item.type for item in model.graph.value_info if item.name == name), None)
