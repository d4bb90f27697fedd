"""What stands behind the logits: cut off, since the host does it, or the class unit.

    logits -> Softmax, LogSoftmax, Sigmoid -> output          the logits decide
    logits -> ArgMax, TopK -> output                          the class, computed from the logits
    logits -> Identity, Reshape, Transpose -> output          the order of the elements is the same

The output of the canonical form is the logits. A note says what was cut; probabilities, and the k
best classes, are functions of the logits that the driver and the simulators offer.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TypeProto

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.arrangements import ELEMENTWISE, perm_of
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
    """The file's outputs move in front of what the host computes from the logits."""

    def call(self, model: ModelProto) -> PassResult:
        edit, notes, modified = Edit(model), [], False
        for output in model.graph.output:
            name, found = _logits(edit, output.name)
            if name == output.name:
                continue
            if any(item.name == name for item in model.graph.output):
                raise _twice(output.name, name)
            notes += found
            modified = True
            output.name = name
            output.type.CopyFrom(_type_of(model, name) or output.type)
            for item in [item for item in model.graph.value_info if item.name == name]:
                model.graph.value_info.remove(item)
        return PassResult(model, modified, notes=tuple(notes))


def _logits(edit: Edit, output: str) -> tuple[str, list[str]]:
    """The tensor in front of what stands at the end of an output, and notes of what is cut."""
    notes: list[str] = []
    name = current = output
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
    if not notes:
        # Only the order of the axes, or axes of size 1.
        for kind in passed:
            last = edit.producer(name)
            if kind not in _ORDERS or last is None:
                break
            if kind == "Transpose":
                notes.append(_order_note(edit, last))
            name = last.input[0]
    return name, notes


def _twice(first: str, name: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"two outputs of the file come from the same logits `{name}`",
        where=f"output `{first}`",
        why="the class and probabilities are functions of the logits, which the host computes",
        do=f"leave the output `{first}` out of the file",
    )


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
    known = _channel_axis(edit, node.input[0], rank)
    if len(channels) == 1 and axis == channels[0]:
        return
    allowed = (1, rank - 1) if known is None else (known,)
    if axis not in allowed:
        raise refuse(
            node,
            f"its axis is {axis} of {shape}",
            why="the class is chosen among the channels of each pixel",
            do=f"use axis {allowed[0]}",
        )


def _channel_axis(edit: Edit, name: str, rank: int) -> int | None:
    """The axis of a tensor that a layer's outputs are along; None where that is not known."""
    turns: list[list[int]] = []
    while (node := edit.producer(name)) is not None:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            axis = 1 if node.op_type == "Conv" else rank - 1
            for perm in reversed(turns):
                axis = perm.index(axis)
            return axis
        if node.op_type == "Transpose":
            turns.append(perm_of(node, rank))
        elif node.op_type not in ELEMENTWISE:
            return None
        if len(edit.shape(node.input[0])) != rank:
            return None
        name = node.input[0]
    return None


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


def _order_note(edit: Edit, node: NodeProto) -> str:
    shape = edit.shape(node.input[0])[1:]
    return (
        f"`{node.name or node.output[0]}` (Transpose) at the end was cut off: the results come as "
        f"(channels, height, width) = {shape}, and the class is chosen among the channels"
    )


def _type_of(model: ModelProto, name: str) -> TypeProto | None:
    return next((item.type for item in model.graph.value_info if item.name == name), None)
