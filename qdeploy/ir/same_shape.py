"""One network's numbers in another network's graph, where the two have one shape.

A design with weights that are loaded is made for the shape of one network: its layers with their
sizes, strides and bits, the codes of its input, and how the layers are joined. What else differs
is named here by its layer; weights, thresholds and biases, and what the logits mean, are the other
network's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from qdeploy.errors import UserError
from qdeploy.ir.any_weights import bias_kind, weight_kind
from qdeploy.ir.integer_graph import Bias, Conv, Dense, IntArray, IntegerGraph, IntType, Node

# Of a node: arrays that are loaded, and names that networks may choose.
NUMBERS = ("weights", "bias", "thresholds")
_NAMES = ("name", "layer", "inputs", "output")


def with_numbers_of(graph: IntegerGraph, other: IntegerGraph, title: str) -> IntegerGraph:
    """`graph` with the numbers of `other`, and what its logits mean.

    Args:
        graph: of the design, as `for_any_weights` made it.
        title: what the other network is, for the message.

    Raises:
        UserError: the networks are of different shapes; names the first layer in which they differ.
    """
    _check_input(graph, other, title)
    if len(graph.nodes) != len(other.nodes):
        raise _other(
            title,
            f"it has {len(other.nodes)} operations, the design's network {len(graph.nodes)}",
        )
    places, theirs = _places(graph), _places(other)
    nodes = []
    for mine, given in zip(graph.nodes, other.nodes, strict=True):
        _check_node(graph, mine, given, title)
        if [places[name] for name in mine.inputs] != [theirs[name] for name in given.inputs]:
            raise _other(title, "it reads the results of other layers", given)
        codes = graph.tensors[mine.output].dtype, other.tensors[given.output].dtype
        if (
            not isinstance(mine, Conv | Dense | Bias)
            and _makes_codes(mine)
            and codes[0] != codes[1]
        ):
            raise _other(title, f"its codes are {_kind(codes[1])}, not {_kind(codes[0])}", given)
        arrays = {name: getattr(given, name) for name in NUMBERS if hasattr(given, name)}
        nodes.append(dataclasses.replace(mine, **arrays))
    if places[graph.output] != theirs[other.output]:
        raise _other(title, "its output is that of another layer")
    return dataclasses.replace(graph, nodes=tuple(nodes), head=other.head)


def _check_input(graph: IntegerGraph, other: IntegerGraph, title: str) -> None:
    mine, given = graph.tensors[graph.input], other.tensors[other.input]
    for what, ours, its in (
        ("shape", mine.shape, given.shape),
        ("type", _kind(mine.dtype), _kind(given.dtype)),
        ("codes", (mine.lo, mine.hi), (given.lo, given.hi)),
        ("scale", mine.scale, given.scale),
    ):
        if ours != its:
            raise _other(title, f"the {what} of its input is {its}, the design's {ours}")
    if graph.prepared != other.prepared:
        raise _other(title, "its input becomes codes in another way than the design's")


def _check_node(graph: IntegerGraph, mine: Node, given: Node, title: str) -> None:
    """Raise what differs between two operations at one place."""
    if type(mine) is not type(given):
        kinds = type(given).__name__, type(mine).__name__
        raise _other(title, f"it is a {kinds[0]}, and a {kinds[1]} in the design", given)
    for field in dataclasses.fields(mine):
        if field.name in _NAMES:
            continue
        ours, its = getattr(mine, field.name), getattr(given, field.name)
        if field.name not in NUMBERS:
            if ours != its:
                raise _other(title, f"its {field.name} is {its}, the design's {ours}", given)
        elif ours.shape != its.shape:
            raise _other(
                title, f"its {field.name} are {_sizes(its)}, the design's {_sizes(ours)}", given
            )
    if isinstance(mine, Conv | Dense):
        _check_range(title, given, "weights", _array(given, "weights"), weight_kind(mine.weights))
    elif isinstance(mine, Bias):
        kind = bias_kind(mine, graph.tensors[mine.inputs[0]])
        _check_range(title, given, "biases", _array(given, "bias"), kind)


def _check_range(title: str, node: Node, what: str, values: IntArray, kind: IntType) -> None:
    lo, hi = int(values.min()), int(values.max())
    if lo < kind.lo or hi > kind.hi:
        raise _other(
            title, f"its {what} are {lo} to {hi}, the design's memory has {kind.bits} bits", node
        )


def _places(graph: IntegerGraph) -> dict[str, int]:
    """Tensor -> number of the node that makes it, -1 for the input."""
    return {graph.input: -1} | {node.output: index for index, node in enumerate(graph.nodes)}


def _makes_codes(node: Node) -> bool:
    return hasattr(node, "thresholds")


def _array(node: Node, name: str) -> IntArray:
    found: IntArray = getattr(node, name)
    return found


def _kind(dtype: IntType) -> str:
    return f"{'signed' if dtype.signed else 'unsigned'} of {dtype.bits} bits"


def _sizes(array: np.ndarray[Any, Any]) -> str:
    return " x ".join(str(size) for size in array.shape)


def _other(title: str, why: str, node: Node | None = None) -> UserError:
    return UserError(
        f"{title} is not of the shape of the build's network",
        where=None if node is None else f"layer `{node.layer}`",
        why=why,
        do="give a network trained by the same recipe, or export this one by itself",
    )
