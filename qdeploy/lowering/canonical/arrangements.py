"""Nodes that arrange a tensor's axes, nodes that do not care, and what they make of the input."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import NodeProto

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.edit import Array, Edit, attribute
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.canonical.views import View

WRAPPING = ("Squeeze", "Unsqueeze", "Reshape")
# Element by element; constants broadcast.
ELEMENTWISE = frozenset(
    (
        *("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold", "Relu", "Clip"),
        *("Mul", "Add", "Sub", "Div"),
        *("LeakyRelu", "PRelu", "Sigmoid", "Tanh", "HardSigmoid", "Identity", "Cast", "Neg", "Abs"),
        *("QuantizeLinear", "DequantizeLinear", "BatchNormalization", "Elu", "Selu", "Softplus"),
    )
)


def arranges(node: NodeProto) -> bool:
    """Whether a node permutes axes, or adds and drops axes of size 1."""
    return node.op_type in ("Transpose", *WRAPPING)


def perm_of(node: NodeProto, rank: int) -> list[int]:
    """The permutation of a Transpose."""
    return [int(axis) % rank for axis in attribute(node, "perm", range(rank)[::-1])]


def joined_axis(views: Sequence[View], axis: int) -> int | None:
    """The axis along which the bases of views are joined where the views are along `axis`; None
    where they are not arranged alike."""
    first = views[0]
    if any(view.axes != first.axes for view in views):
        return None
    place = first.axes[axis % len(first.axes)]
    if place is None or place == 0:
        return None
    rest = [view.shape[:place] + view.shape[place + 1 :] for view in views]
    return place if all(one == rest[0] for one in rest) else None


def at_first_layer(edit: Edit, name: str) -> View | None:
    """A file's input as its first layer reads it; None where nothing has to move before it.

    What is arranged before anything else is done stays where it is: frames in another order.
    """
    shape, current = edit.shape(name), name
    view = View(name, shape, tuple(range(len(shape))))
    if len(shape) not in (2, 3, 4):
        return None
    computed = late = False
    while readers := edit.readers(current):
        reader = next((r for r in readers if arranges(r)), readers[0])
        if reader.op_type == "Transpose":
            view = view.transposed(perm_of(reader, len(view.axes)))
        elif reader.op_type in (*WRAPPING, "Flatten"):
            seen = view.reshaped(edit.shape(reader.output[0]))
            if seen is None:
                break
            view = seen
        elif reader.op_type not in ELEMENTWISE:
            break
        late |= computed and arranges(reader)
        computed |= reader.op_type in ELEMENTWISE
        current = reader.output[0]
    if len(view.axes) == 3 and computed:
        # A sequence that a Flatten or a sum reads: a map of one row.
        return View(name, shape, (*view.axes[:2], None, view.axes[2]))
    return view if late else None


def no_order(name: str, base: str, order: Array) -> UnsupportedLayerError:
    """The refusal of a flattened map whose features are in another order than its stream's."""
    return UnsupportedLayerError(
        f"the flattened map `{name}` cannot become hardware",
        where=f"tensor `{name}`",
        expected="channels-last map -> Flatten -> Linear with constant weights",
        why=f"it is in the order height, width, channel; the stream `{base}` of {order.size} "
        "elements has the channels in another place",
        do="read it by a fully connected layer, whose rows can change places",
    )


def other_order(node: NodeProto, name: str, view: View) -> UnsupportedLayerError:
    """The error for a node that reads a map `name` with its axes in another order."""
    if _over_positions(node, view):
        return _no_positions(node, view)
    return refuse(
        node,
        f"it reads `{name}`, whose axes are in another order than the map's {view.shape[1:]}",
        why="feature maps stream pixel by pixel, all channels of each: a transposed map would have "
        "to be stored first",
        do="keep (N, C, H, W) or (N, C, L) from layer to layer; a linear layer shared by all "
        "positions takes (N, positions, channels)",
    )


def _over_positions(node: NodeProto, view: View) -> bool:
    """Whether a node is a linear layer over the positions of a sequence, for each channel: in the
    convolution that it became, the map's positions are channels, and its channels positions."""
    pointwise = node.op_type == "Conv" and list(attribute(node, "kernel_shape", ())) == [1, 1]
    one_row = len(view.shape) == 4 and view.shape[2] == 1
    return pointwise and one_row and (view.axes[1], view.axes[-1]) == (3, 1)


def _no_positions(node: NodeProto, view: View) -> UnsupportedLayerError:
    channels, length = view.shape[1], view.shape[3]
    return refuse(
        node,
        f"a linear layer over the {length} positions of each of {channels} channels",
        expected="a linear layer over the channels of each position: (N, positions, channels)",
        why="a sequence streams position by position, all channels of each: its transpose would "
        "have to be stored first",
        do=f"use a depthwise convolution of kernel {length}, which gives one number for each "
        f"channel, or Flatten and a linear layer of {channels * length} features whose weights are "
        "0 between different channels",
    )
