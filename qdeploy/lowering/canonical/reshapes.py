"""Reshapes: what leaves a frame's elements in their order.

    to the shape it had                        -> nothing
    to (N, features)                           -> Flatten
    of the input before its quantizer          -> Reshape of each frame, which the host does
    of a constant after its quantizer          -> before it

Other shapes are refused, since feature maps stream pixel by pixel.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper

from qdeploy.lowering.canonical.edit import Edit, attribute, integers
from qdeploy.lowering.canonical.passes import Pass, PassResult
from qdeploy.lowering.canonical.raw_part import raw_tensors
from qdeploy.lowering.canonical.refusal import refuse

RESHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")


class ReshapeToFlatten(Pass):
    """Reshapes to (N, features) become Flatten; what changes no shape goes."""

    def call(self, model: ModelProto) -> PassResult:
        edit, raw = Edit(model), raw_tensors(model)
        for node in edit.of_kind(*RESHAPES):
            if edit.is_constant(node.input[0]) or _of_constant(edit, node):
                continue
            source = _first(edit, node.input[0])
            before, after = edit.shape(source), edit.shape(node.output[0])
            if edit.shape(node.input[0]) == after and after:
                edit.bypass(node)
            elif node.output[0] in raw and len(after) > 2 and after[0] == before[0]:
                _reshape_each_frame(edit, node, after)
            elif node.op_type == "Flatten" and attribute(node, "axis", 1) == 1:
                continue
            elif len(after) == 2 and before and after[0] == before[0]:
                flat = helper.make_node("Flatten", [source], [node.output[0]], node.name, axis=1)
                edit.replace(node, [flat])
        return PassResult(model, edit.apply())


class ConstantsBeforeQuantizers(Pass):
    """A constant is transposed and reshaped before it is quantized, and not after."""

    def call(self, model: ModelProto) -> PassResult:
        edit = Edit(model)
        for node in edit.of_kind("Transpose", *RESHAPES):
            quantizer = edit.producer(node.input[0])
            if quantizer is None or not _of_constant(edit, node) or edit.touched(quantizer):
                continue
            value = edit.constant(quantizer.input[0])
            assert value is not None
            moved = _moved(edit, node, value)
            if moved is None:
                continue
            new = NodeProto.FromString(quantizer.SerializeToString())
            stem = node.output[0]
            new.name, new.output[0] = f"{quantizer.name}_{stem}", stem
            new.input[0] = edit.add_constant(f"{stem}_moved", moved)
            for position in range(1, len(new.input)):
                parameter = edit.constant(new.input[position])
                if parameter is not None and parameter.size > 1:
                    spread = _spread(quantizer, parameter, value.shape)
                    other = _moved(edit, node, spread)
                    assert other is not None
                    new.input[position] = edit.add_constant(f"{stem}_p{position}", other)
            edit.replace(node, [new])
        return PassResult(model, edit.apply())


def _spread(quantizer: NodeProto, parameter: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.broadcast_to(parameter, shape)
    except ValueError as error:
        raise refuse(
            quantizer,
            f"a parameter of shape {parameter.shape} for a constant of shape {shape}",
            why="it is one number for all, or as many as an axis has",
            do="export the network again",
        ) from error


def refuse_reshapes(model: ModelProto) -> None:
    """Refuse reshapes that the passes left.

    Raises:
        UnsupportedLayerError: names the first.
    """
    edit, raw = Edit(model), raw_tensors(model)
    for node in edit.of_kind("Reshape", "Squeeze", "Unsqueeze"):
        if node.output[0] in raw:
            continue
        before, after = edit.shape(node.input[0]), edit.shape(node.output[0])
        raise refuse(
            node,
            f"a reshape from {before} to {after}",
            why="feature maps stream pixel by pixel; only flattening leaves them in order",
            do="use torch.nn.Flatten or torch.flatten(x, 1)",
        )


def _first(edit: Edit, name: str) -> str:
    """The tensor that a chain of reshapes starts with: they leave elements in their order."""
    while (node := edit.producer(name)) is not None and node.op_type in RESHAPES:
        name = node.input[0]
    return name


def _reshape_each_frame(edit: Edit, node: NodeProto, shape: tuple[int, ...]) -> None:
    """Write a node that reshapes frames as a Reshape for any number of them.

    Args:
        shape: of its result, with the axis of frames.
    """
    target = np.array([0, *shape[1:]], dtype=np.int64)
    known = edit.constant(node.input[1]) if node.op_type == "Reshape" else None
    if known is not None and np.array_equal(known, target):
        return
    name = edit.add_constant(f"{node.output[0]}_shape", target)
    edit.replace(
        node, [helper.make_node("Reshape", [node.input[0], name], [node.output[0]], node.name)]
    )


def _of_constant(edit: Edit, node: NodeProto) -> bool:
    source = edit.producer(node.input[0])
    return (
        source is not None
        and source.op_type in ("Quant", "IntQuant", "BipolarQuant")
        and edit.is_constant(source.input[0])
    )


def _moved(edit: Edit, node: NodeProto, value: np.ndarray) -> np.ndarray | None:
    """A constant as a node of fixed parameters leaves it; None where they are not fixed."""
    if node.op_type == "Transpose":
        return np.ascontiguousarray(value.transpose(attribute(node, "perm")))
    if node.op_type == "Flatten":
        axis = int(attribute(node, "axis", 1))
        return value.reshape(int(np.prod(value.shape[:axis])), -1)
    sizes = integers(edit, node, "shape" if node.op_type == "Reshape" else "axes", 1)
    if node.op_type == "Reshape":
        if sizes is None:
            return None
        return value.reshape(
            [value.shape[k] if size == 0 else size for k, size in enumerate(sizes)]
        )
    if node.op_type == "Squeeze":
        return value.squeeze(None if sizes is None else tuple(sizes))
    return None if sizes is None else np.expand_dims(value, tuple(sizes))
