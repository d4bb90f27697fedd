"""An integer graph without its arrays, as JSON data, and back.

    {"name", "input", "output", "head": {"gain": ["1/8", …], "offset": […],
     "parts": [["name", channels], …] for several outputs},
     "tensors": [{"name", "shape", "bits", "signed", "lo", "hi", "scale": "1/8" or null}],
     "nodes":   [{"kind", "name", "layer", "inputs", "output", and what the kind has besides}],
     "preparation": as in `preparation_data.py`, where the input is not a plain one}

Tensors and nodes keep their order. Arrays (weights, biases, thresholds) are left out; they are
known by `array_name`. Reading takes nothing on trust: every key must be there and no other, every
value must be of its type and in its range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any

from qdeploy.ir.head import Head, Part
from qdeploy.ir.input_codes import fraction_text, order_of
from qdeploy.ir.integer_graph import (
    Add,
    ArgMax,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthToSpace,
    Dilate,
    Flatten,
    GlobalSum,
    IntArray,
    IntegerGraph,
    IntType,
    MaxPool,
    Node,
    Tensor,
    Threshold,
    Upsample,
)
from qdeploy.ir.json_data import (
    MAX_ITEMS,
    MAX_MAGNITUDE,
    FormatError,
    fraction_of,
    fractions_of,
    integer_of,
    integers_of,
    list_of,
    object_of,
    text_of,
)
from qdeploy.ir.preparation_data import PREPARATION, preparation_of

KINDS: dict[str, type[Node]] = {
    kind.__name__: kind
    for kind in (
        *(Conv, Dense, Bias, Threshold, Add, GlobalSum, MaxPool, Flatten, ArgMax),
        *(Concat, Upsample, Dilate, DepthToSpace),
    )
}
# Every field of a node beyond those all nodes have: arrays by rank, tuples by length, integers.
ARRAYS = {Conv: ("weights", 4), Dense: ("weights", 2), Bias: ("bias", 1)} | {
    Threshold: ("thresholds", 2)
}
_TUPLES = {"stride": 2, "dilation": 2, "kernel": 2, "pads": 4, "factor": 2, "step": 2}
_INTEGERS = ("base", "groups", "block")
# Streams that a node joins.
_MOST_INPUTS = 64
_PARTS = "parts"
_COMMON = ("name", "layer", "inputs", "output")

MAX_WIRE_BITS = 64


def arrays_of(graph: IntegerGraph) -> dict[str, IntArray]:
    """Every array of a graph, by its name in a file."""
    arrays: dict[str, IntArray] = {}
    for node in graph.nodes:
        name, array = array_name(node), array_of(node)
        if name is not None and array is not None:
            arrays[name] = array
    if graph.preparation is not None:
        arrays[PREPARATION] = order_of(graph.preparation.thresholds)
    return arrays


def array_name(node: Node) -> str | None:
    """Name of a node's array in a file, None for a node without one."""
    return f"{node.name}.{ARRAYS[type(node)][0]}" if type(node) in ARRAYS else None


def array_of(node: Node) -> IntArray | None:
    """A node's array, None for a node without one."""
    return getattr(node, ARRAYS[type(node)][0]) if type(node) in ARRAYS else None


def to_structure(graph: IntegerGraph) -> dict[str, Any]:
    """A graph as JSON data, without its arrays."""
    prepared = {} if graph.preparation is None else {PREPARATION: graph.preparation.record()}
    return {
        "name": graph.name,
        "input": graph.input,
        "output": graph.output,
        "head": {
            "gain": [fraction_text(value) for value in graph.head.gain],
            "offset": [fraction_text(value) for value in graph.head.offset],
            **_parts_data(graph.head),
        },
        "tensors": [_tensor_data(tensor) for tensor in graph.tensors.values()],
        "nodes": [_node_data(node) for node in graph.nodes],
        **prepared,
    }


def from_structure(data: Any, arrays: Mapping[str, IntArray]) -> IntegerGraph:
    """The graph of `to_structure`'s data.

    Args:
        arrays: each node's array by `array_name`, and no other.

    Raises:
        FormatError: the data is of another form, an array is missing or left over.
    """
    keys = ("name", "input", "output", "head", "tensors", "nodes")
    prepared = isinstance(data, dict) and PREPARATION in data
    item = object_of(data, (*keys, PREPARATION) if prepared else keys, "graph")
    several = isinstance(item["head"], dict) and _PARTS in item["head"]
    head = object_of(item["head"], ("gain", "offset", *((_PARTS,) if several else ())), "head")
    tensors: dict[str, Tensor] = {}
    for index, entry in enumerate(list_of(item["tensors"], MAX_ITEMS, "tensors")):
        tensor = _tensor(entry, f"tensor {index}")
        if tensor.name in tensors:
            raise FormatError(f"two tensors are called `{tensor.name}`")
        tensors[tensor.name] = tensor
    left = dict(arrays)
    nodes = tuple(
        _node(entry, left, f"node {index}")
        for index, entry in enumerate(list_of(item["nodes"], MAX_ITEMS, "nodes"))
    )
    preparation = None
    if prepared:
        preparation = preparation_of(item[PREPARATION], left.pop(PREPARATION, None))
    if left:
        raise FormatError(f"the array `{min(left)}` belongs to no node")
    name, source, output = (
        text_of(item[key], f"graph: {key}") for key in ("name", "input", "output")
    )
    return IntegerGraph(
        name,
        source,
        output,
        nodes,
        tensors,
        Head(
            fractions_of(head["gain"], "head: gain"),
            fractions_of(head["offset"], "head: offset"),
            _parts(head[_PARTS]) if several else (),
        ),
        preparation,
    )


def _parts_data(head: Head) -> dict[str, Any]:
    return {_PARTS: [[part.name, part.channels] for part in head.parts]} if head.parts else {}


def _parts(data: Any) -> tuple[Part, ...]:
    found = []
    for index, entry in enumerate(list_of(data, _MOST_INPUTS, f"head: {_PARTS}")):
        where = f"head: part {index}"
        if len(list_of(entry, 2, where)) != 2:
            raise FormatError(f"{where}: not a name and a number of channels")
        channels = integer_of(entry[1], 1, MAX_MAGNITUDE, where)
        found.append(Part(text_of(entry[0], where), channels))
    if len(found) < 2:
        raise FormatError(f"head: {_PARTS} of fewer than two outputs")
    return tuple(found)


def _tensor_data(tensor: Tensor) -> dict[str, Any]:
    scale = tensor.scale
    return {
        "name": tensor.name,
        "shape": [int(size) for size in tensor.shape],
        "bits": int(tensor.dtype.bits),
        "signed": bool(tensor.dtype.signed),
        "lo": int(tensor.lo),
        "hi": int(tensor.hi),
        "scale": None if scale is None else fraction_text(scale),
    }


def _node_data(node: Node) -> dict[str, Any]:
    data: dict[str, Any] = {
        "kind": type(node).__name__,
        "name": node.name,
        "layer": node.layer,
        "inputs": list(node.inputs),
        "output": node.output,
    }
    for key in _own_fields(type(node)):
        value = getattr(node, key)
        data[key] = [int(part) for part in value] if key in _TUPLES else int(value)
    return data


def _own_fields(kind: type[Node]) -> Iterator[str]:
    """The fields that only this kind of node has, arrays left out."""
    array = ARRAYS[kind][0] if kind in ARRAYS else None
    return (f.name for f in fields(kind) if f.name not in (*_COMMON, array))


def _tensor(data: Any, where: str) -> Tensor:
    item = object_of(data, ("name", "shape", "bits", "signed", "lo", "hi", "scale"), where)
    if type(item["signed"]) is not bool:
        raise FormatError(f"{where}: signed is {item['signed']!r}, not true or false")
    shape = integers_of(item["shape"], None, 1, MAX_MAGNITUDE, f"{where}: shape")
    if len(shape) not in (1, 3):
        raise FormatError(f"{where}: shape has {len(shape)} sizes, not 1 or 3")
    return Tensor(
        text_of(item["name"], f"{where}: name"),
        shape,
        IntType(integer_of(item["bits"], 1, MAX_WIRE_BITS, f"{where}: bits"), item["signed"]),
        integer_of(item["lo"], -MAX_MAGNITUDE, MAX_MAGNITUDE, f"{where}: lo"),
        integer_of(item["hi"], -MAX_MAGNITUDE, MAX_MAGNITUDE, f"{where}: hi"),
        _scale(item["scale"], f"{where}: scale"),
    )


def _node(data: Any, arrays: dict[str, IntArray], where: str) -> Node:
    """One node; its array is taken out of `arrays`."""
    name = data.get("kind") if isinstance(data, dict) else None
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise FormatError(f"{where}: unknown kind {name!r}")
    item = object_of(data, ("kind", *_COMMON, *_own_fields(kind)), where)
    values: dict[str, Any] = {
        key: text_of(item[key], f"{where}: {key}") for key in ("name", "layer", "output")
    }
    most = _MOST_INPUTS if kind is Concat else 2
    sources = list_of(item["inputs"], most, f"{where}: inputs")
    values["inputs"] = tuple(text_of(entry, f"{where}: inputs") for entry in sources)
    for key in _own_fields(kind):
        if key in _TUPLES:
            values[key] = integers_of(item[key], _TUPLES[key], 0, MAX_MAGNITUDE, f"{where}: {key}")
        else:
            low, high = -MAX_MAGNITUDE, MAX_MAGNITUDE
            values[key] = integer_of(item[key], low, high, f"{where}: {key}")
    if kind in ARRAYS:
        key, rank = ARRAYS[kind]
        array = arrays.pop(f"{values['name']}.{key}", None)
        if array is None:
            raise FormatError(f"{where}: the array `{values['name']}.{key}` is missing")
        if array.ndim != rank:
            raise FormatError(f"{where}: {key} has {array.ndim} axes, not {rank}")
        values[key] = array
    return kind(**values)


def _scale(value: Any, where: str) -> Fraction | None:
    return None if value is None else fraction_of(value, where)
