"""What exact arithmetic reads of a file's nodes and tensors."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, helper

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.exact_elements import Exact


def elements_at(array: npt.NDArray[Any], index: IntArray) -> npt.NDArray[Any]:
    """Elements (K,) of an array, which may be a single number."""
    return array[tuple(index.T)] if array.ndim else np.full(len(index), array)


def each(values: Exact, function: Callable[[Fraction], Fraction]) -> Exact:
    """A function of every element that changes its sign at most."""
    mapped = np.array([function(value) for value in values.value], dtype=object)
    return Exact(mapped, values.size, values.roundings)


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """Attributes by name, as plain values."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def shapes_of(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors whose shape the file knows, batch axis included."""
    graph = model.graph
    found = {
        item.name: tuple(int(d.dim_value) for d in item.type.tensor_type.shape.dim)
        for item in (*graph.value_info, *graph.input, *graph.output)
    }
    return found | {item.name: tuple(item.dims) for item in graph.initializer}
