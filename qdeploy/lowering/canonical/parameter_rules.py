"""Parameters that do not go with their node's tensor, refused by name.

ONNX's checker and its shape inference let most of them pass: three pads of a convolution, a
permutation that is none, a scale for another number of channels, a batch norm of no channels.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, defs

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.edit import Edit, attribute
from qdeploy.lowering.canonical.refusal import refuse

# Attributes of a window, and how many numbers they have for each axis of it.
_PER_AXIS = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 1, "pads": 2}
_WINDOWED = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")
# Inputs that an operator of QONNX has at least, and at most.
_QUANTIZERS = {"Quant": (4, 4), "IntQuant": (4, 4), "BipolarQuant": (2, 2), "Trunc": (5, 6)}
_COUNTS = {**_QUANTIZERS, "MultiThreshold": (2, 2)}


def check_counts(model: ModelProto) -> None:
    """Check the number of each node's inputs, in every domain: ONNX's checker counts in its own.

    Raises:
        UnsupportedLayerError: names the first node that has too few or too many.
    """
    for node in model.graph.node:
        _check_count(node)


def check_parameters(model: ModelProto) -> None:
    """Check the numbers of windows, permutations, batch norms and quantizers.

    Args:
        model: with known shapes and constants that are stored.

    Raises:
        UnsupportedLayerError: names the first node whose parameters do not go with its tensor.
    """
    edit = Edit(model)
    for node in edit.nodes:
        if node.op_type in _WINDOWED:
            _check_window(edit, node)
        elif node.op_type == "Transpose":
            _check_permutation(edit, node)
        elif node.op_type == "BatchNormalization":
            _check_channels(edit, node)
        elif node.op_type in _QUANTIZERS:
            _check_broadcast(edit, node)


def _odd(node: NodeProto, found: str, why: str) -> UnsupportedLayerError:
    """The refusal of what no exporter writes."""
    return refuse(node, found, why=why, do="export the network again")


def _check_count(node: NodeProto) -> None:
    least, most = _COUNTS.get(node.op_type, (0, len(node.input)))
    if node.op_type not in _COUNTS and defs.has(node.op_type):
        schema = defs.get_schema(node.op_type)
        least, most = schema.min_input, schema.max_input
    if not least <= len(node.input) <= most:
        raise _odd(
            node,
            f"it has {len(node.input)} inputs",
            f"{node.op_type} has {least}" + (f" to {most}" if most > least else ""),
        )


def _check_window(edit: Edit, node: NodeProto) -> None:
    axes = len(edit.shape(node.input[0])) - 2
    for name, each in _PER_AXIS.items():
        values = attribute(node, name)
        if values is not None and axes > 0 and len(values) != each * axes:
            raise _odd(
                node,
                f"it has {name} {', '.join(map(str, values)) or 'of no numbers'}",
                f"a window over {axes} axes has {each * axes}",
            )
    if node.op_type.startswith("Conv") and axes > 0:
        weights = edit.shape(node.input[1])
        if len(weights) != axes + 2:
            raise _odd(
                node,
                f"it has weights of shape {weights}",
                f"those of a window over {axes} axes have {axes + 2} axes",
            )


def _check_permutation(edit: Edit, node: NodeProto) -> None:
    rank, perm = len(edit.shape(node.input[0])), attribute(node, "perm")
    if perm is not None and rank and sorted(perm) != list(range(rank)):
        raise _odd(
            node,
            f"its perm is {', '.join(map(str, perm)) or 'empty'}",
            f"the axes 0 to {rank - 1} change places, each once",
        )


def _check_channels(edit: Edit, node: NodeProto) -> None:
    shape = edit.shape(node.input[0])
    for name in node.input[1:5]:
        array = edit.constant(name)
        if array is not None and len(shape) > 1 and array.shape != (shape[1],):
            raise _odd(
                node,
                f"its batch norm has a constant of shape {array.shape}",
                f"there is one for each of {shape[1]} channels",
            )


def _check_broadcast(edit: Edit, node: NodeProto) -> None:
    shape = edit.shape(node.input[0])
    for name in node.input[1:]:
        array = edit.constant(name)
        if array is None:
            continue
        try:
            fits = not shape or np.broadcast_shapes(shape, array.shape) == tuple(shape)
        except ValueError:
            fits = False
        if not fits or not array.size:
            raise refuse(
                node,
                f"it has a constant of shape {array.shape} for a tensor of {tuple(shape)}",
                why="a scale within a channel would need a multiplier for each element",
                do="use one number, or one for each channel",
            )
