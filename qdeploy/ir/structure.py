"""An integer graph without its arrays, as JSON data, and back.

    {"name", "input", "output", "head": {"gain": ["1/8", …], "offset": […]},
     "tensors": [{"name", "shape", "bits", "signed", "lo", "hi", "scale": "1/8" or null}],
     "nodes":   [{"kind", "name", "layer", "inputs", "output", and what the kind has besides}]}

Tensors and nodes keep their order. Arrays (weights, biases, thresholds) are left out; they are
known by `array_name`. Reading takes nothing on trust: every key must be there and no other, every
value must be of its type and in its range.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any

from qdeploy.ir.head import Head
from qdeploy.ir.integer_graph import (
    Add,
    ArgMax,
    Bias,
    Conv,
    Dense,
    Flatten,
    GlobalSum,
    IntArray,
    IntegerGraph,
    IntType,
    MaxPool,
    Node,
    Tensor,
    Threshold,
)

KINDS: dict[str, type[Node]] = {
    kind.__name__: kind
    for kind in (Conv, Dense, Bias, Threshold, Add, GlobalSum, MaxPool, Flatten, ArgMax)
}
# Every field of a node beyond those all nodes have: arrays by rank, tuples by length, integers.
ARRAYS = {Conv: ("weights", 4), Dense: ("weights", 2), Bias: ("bias", 1)} | {
    Threshold: ("thresholds", 2)
}
_TUPLES = {"stride": 2, "dilation": 2, "kernel": 2, "pads": 4}
_INTEGERS = ("base", "groups")
_COMMON = ("name", "layer", "inputs", "output")

MAX_ITEMS = 10_000
MAX_NAME = 1000
MAX_WIRE_BITS = 64
MAX_MAGNITUDE = 1 << 63
_SCALE = re.compile(r"(-?[0-9]{1,1000})/([0-9]{1,1000})", re.ASCII)


class FormatError(ValueError):
    """A file, or JSON data, that holds no integer graph; says where and why."""


def array_name(node: Node) -> str | None:
    """Name of a node's array in a file, None for a node without one."""
    return f"{node.name}.{ARRAYS[type(node)][0]}" if type(node) in ARRAYS else None


def array_of(node: Node) -> IntArray | None:
    """A node's array, None for a node without one."""
    return getattr(node, ARRAYS[type(node)][0]) if type(node) in ARRAYS else None


def to_structure(graph: IntegerGraph) -> dict[str, Any]:
    """A graph as JSON data, without its arrays."""
    return {
        "name": graph.name,
        "input": graph.input,
        "output": graph.output,
        "head": {
            "gain": [fraction_text(value) for value in graph.head.gain],
            "offset": [fraction_text(value) for value in graph.head.offset],
        },
        "tensors": [_tensor_data(tensor) for tensor in graph.tensors.values()],
        "nodes": [_node_data(node) for node in graph.nodes],
    }


def from_structure(data: Any, arrays: Mapping[str, IntArray]) -> IntegerGraph:
    """The graph of `to_structure`'s data.

    Args:
        arrays: each node's array by `array_name`, and no other.

    Raises:
        FormatError: the data is of another form, an array is missing or left over.
    """
    item = _object(data, ("name", "input", "output", "head", "tensors", "nodes"), "graph")
    head = _object(item["head"], ("gain", "offset"), "head")
    tensors: dict[str, Tensor] = {}
    for index, entry in enumerate(_list(item["tensors"], MAX_ITEMS, "tensors")):
        tensor = _tensor(entry, f"tensor {index}")
        if tensor.name in tensors:
            raise FormatError(f"two tensors are called `{tensor.name}`")
        tensors[tensor.name] = tensor
    left = dict(arrays)
    nodes = tuple(
        _node(entry, left, f"node {index}")
        for index, entry in enumerate(_list(item["nodes"], MAX_ITEMS, "nodes"))
    )
    if left:
        raise FormatError(f"the array `{min(left)}` belongs to no node")
    name, source, output = (
        _text(item[key], f"graph: {key}") for key in ("name", "input", "output")
    )
    return IntegerGraph(
        name,
        source,
        output,
        nodes,
        tensors,
        Head(_fractions(head["gain"], "head: gain"), _fractions(head["offset"], "head: offset")),
    )


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
    item = _object(data, ("name", "shape", "bits", "signed", "lo", "hi", "scale"), where)
    if type(item["signed"]) is not bool:
        raise FormatError(f"{where}: signed is {item['signed']!r}, not true or false")
    shape = _integers(item["shape"], None, 1, MAX_MAGNITUDE, f"{where}: shape")
    if len(shape) not in (1, 3):
        raise FormatError(f"{where}: shape has {len(shape)} sizes, not 1 or 3")
    return Tensor(
        _text(item["name"], f"{where}: name"),
        shape,
        IntType(_integer(item["bits"], 1, MAX_WIRE_BITS, f"{where}: bits"), item["signed"]),
        _integer(item["lo"], -MAX_MAGNITUDE, MAX_MAGNITUDE, f"{where}: lo"),
        _integer(item["hi"], -MAX_MAGNITUDE, MAX_MAGNITUDE, f"{where}: hi"),
        _scale(item["scale"], f"{where}: scale"),
    )


def _node(data: Any, arrays: dict[str, IntArray], where: str) -> Node:
    """One node; its array is taken out of `arrays`."""
    name = data.get("kind") if isinstance(data, dict) else None
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise FormatError(f"{where}: unknown kind {name!r}")
    item = _object(data, ("kind", *_COMMON, *_own_fields(kind)), where)
    values: dict[str, Any] = {
        key: _text(item[key], f"{where}: {key}") for key in ("name", "layer", "output")
    }
    values["inputs"] = tuple(
        _text(entry, f"{where}: inputs") for entry in _list(item["inputs"], 2, f"{where}: inputs")
    )
    for key in _own_fields(kind):
        if key in _TUPLES:
            values[key] = _integers(item[key], _TUPLES[key], 0, MAX_MAGNITUDE, f"{where}: {key}")
        else:
            low, high = -MAX_MAGNITUDE, MAX_MAGNITUDE
            values[key] = _integer(item[key], low, high, f"{where}: {key}")
    if kind in ARRAYS:
        key, rank = ARRAYS[kind]
        array = arrays.pop(f"{values['name']}.{key}", None)
        if array is None:
            raise FormatError(f"{where}: the array `{values['name']}.{key}` is missing")
        if array.ndim != rank:
            raise FormatError(f"{where}: {key} has {array.ndim} axes, not {rank}")
        values[key] = array
    return kind(**values)


def _object(data: Any, keys: tuple[str, ...], where: str) -> dict[str, Any]:
    """`data` if it is a JSON object with just these keys."""
    if not isinstance(data, dict):
        raise FormatError(f"{where}: not an object")
    for missing in (key for key in keys if key not in data):
        raise FormatError(f"{where}: `{missing}` is missing")
    for unknown in (key for key in data if key not in keys):
        raise FormatError(f"{where}: unknown key {unknown[:MAX_NAME]!r}")
    return data


def _list(data: Any, most: int, where: str) -> list[Any]:
    if not isinstance(data, list) or len(data) > most:
        raise FormatError(f"{where}: not a list of at most {most} items")
    return data


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_NAME:
        raise FormatError(f"{where}: not a text of at most {MAX_NAME} characters")
    return value


def _integer(value: Any, low: int, high: int, where: str) -> int:
    if type(value) is not int or not low <= value <= high:
        raise FormatError(f"{where}: not an integer from {low} to {high}")
    return value


def _integers(data: Any, count: int | None, low: int, high: int, where: str) -> tuple[int, ...]:
    items = _list(data, 4, where)
    if count is not None and len(items) != count:
        raise FormatError(f"{where}: {len(items)} integers, not {count}")
    return tuple(_integer(value, low, high, where) for value in items)


def fraction_text(value: Fraction) -> str:
    """A fraction as files have it, such as "1/8"."""
    return f"{value.numerator}/{value.denominator}"


def _fractions(data: Any, where: str) -> tuple[Fraction, ...]:
    return tuple(_fraction(value, where) for value in _list(data, MAX_ITEMS, where))


def _scale(value: Any, where: str) -> Fraction | None:
    return None if value is None else _fraction(value, where)


def _fraction(value: Any, where: str) -> Fraction:
    found = _SCALE.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[2]) == 0:
        raise FormatError(f'{where}: not a fraction such as "1/8"')
    return Fraction(int(found[1]), int(found[2]))
