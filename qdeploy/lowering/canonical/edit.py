"""A model while a pass rewrites it: what makes and reads each tensor, and changes applied at once.

A pass asks for producers, readers, constants and shapes, collects its changes, and `apply` carries
all of them out in one walk over the file. So a pass takes time in proportion to the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from qdeploy.errors import UnsupportedLayerError

Array = npt.NDArray[Any]


class Edit:
    """Indices of a model and changes to come.

    Args:
        model: changed in place by `apply`, and by nothing else while this is in use.
    """

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.nodes: list[NodeProto] = list(model.graph.node)
        self._stored: dict[str, TensorProto] = {t.name: t for t in model.graph.initializer}
        self._arrays: dict[str, Array] = {}
        self._replaced: dict[int, list[NodeProto]] = {}
        self._renamed: dict[str, str] = {}
        self._outputs = {item.name for item in model.graph.output}

    @cached_property
    def _producers(self) -> dict[str, NodeProto]:
        return {name: node for node in self.nodes for name in node.output if name}

    @cached_property
    def _readers(self) -> dict[str, list[NodeProto]]:
        readers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                readers.setdefault(name, []).append(node)
        return readers

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        graph = self.model.graph
        return {
            item.name: tuple(d.dim_value for d in item.type.tensor_type.shape.dim)
            for item in (*graph.output, *graph.input, *graph.value_info)
        }

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor with its batch axis, () where it is unknown."""
        if name in self._arrays:
            return tuple(self._arrays[name].shape)
        if name in self._stored:
            return tuple(self._stored[name].dims)
        return self._shapes.get(name, ())

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is an initializer."""
        return name in self._stored or name in self._arrays

    def constant(self, name: str) -> Array | None:
        """The value of an initializer; None where `name` is none."""
        if name not in self._arrays:
            if name not in self._stored:
                return None
            self._arrays[name] = numpy_helper.to_array(self._stored[name])
        return self._arrays[name]

    def data_type(self, name: str) -> int:
        """ONNX's number for the type of an initializer."""
        return int(self._stored[name].data_type) if name in self._stored else TensorProto.FLOAT

    def producer(self, name: str) -> NodeProto | None:
        """The node that makes a tensor, None for inputs and constants."""
        return self._producers.get(name)

    def readers(self, name: str) -> list[NodeProto]:
        """The nodes that read a tensor, each once."""
        return self._readers.get(name, [])

    def is_output(self, name: str) -> bool:
        """Whether a tensor is an output of the file."""
        return name in self._outputs

    def only_reader(self, name: str) -> NodeProto | None:
        """The one node that reads a tensor which is no output; None where there are more."""
        found = self.readers(name)
        return found[0] if len(found) == 1 and not self.is_output(name) else None

    def of_kind(self, *kinds: str) -> Iterator[NodeProto]:
        """The nodes of some operators that no change has touched, in order."""
        for node in self.nodes:
            if node.op_type in kinds and id(node) not in self._replaced:
                yield node

    def replace(self, node: NodeProto, new: Iterable[NodeProto]) -> None:
        """Put nodes in the place of one; none removes it."""
        self._replaced[id(node)] = list(new)

    def remove(self, node: NodeProto) -> None:
        """Take a node away whose results nothing reads any more."""
        self._replaced[id(node)] = []

    def touched(self, node: NodeProto) -> bool:
        """Whether a change of this edit is about a node."""
        return id(node) in self._replaced

    def bypass(self, node: NodeProto) -> None:
        """Remove a node that passes its first input through unchanged.

        Raises:
            UnsupportedLayerError: it joins the file's input to its output.
        """
        source, target = self._current(node.input[0]), node.output[0]
        if self.is_output(target):
            if self._producers.get(source) is None or self.is_output(source):
                raise UnsupportedLayerError(
                    "the file's output is its input, unchanged",
                    where=f"node `{node.name or target}` ({node.op_type})",
                    do="export a network with a layer",
                )
            self._renamed[source] = target
        else:
            self._renamed[target] = source
        self.remove(node)

    def rename(self, old: str, new: str) -> None:
        """What read `old` reads `new`."""
        self._renamed[old] = self._current(new)

    def add_constant(self, name: str, array: npt.ArrayLike) -> str:
        """Add an initializer under a name no tensor has; returns the name."""
        number, free = 2, name
        while self.is_constant(free) or free in self._producers:
            free, number = f"{name}_{number}", number + 1
        value = np.asarray(array)
        self._arrays[free] = value
        self.model.graph.initializer.append(numpy_helper.from_array(value, free))
        return free

    def store(self, name: str, array: Array) -> Array:
        """Make a tensor an initializer, in the place of the node that made it."""
        self._arrays[name] = array
        self.model.graph.initializer.append(numpy_helper.from_array(array, name))
        return array

    def apply(self) -> bool:
        """Carry all changes out; whether there were any."""
        if not self._replaced and not self._renamed:
            return False
        nodes: list[NodeProto] = []
        for node in self.nodes:
            nodes.extend(self._replaced.get(id(node), [node]))
        if self._renamed:
            for node in nodes:
                _rename(node.input, self._current)
                _rename(node.output, self._current)
        kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self.model.graph.node[:]
        self.model.graph.node.extend(kept)
        return True

    def _current(self, name: str) -> str:
        while name in self._renamed:
            name = self._renamed[name]
        return name


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """An attribute's value, `default` where the node has none of the name."""
    for item in node.attribute:
        if item.name == name:
            return helper.get_attribute_value(item)
    return default


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """A node's attributes by name, as plain values."""
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def text_attribute(node: NodeProto, name: str, default: str) -> str:
    """An attribute that is a text."""
    value = attribute(node, name, default)
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def integers(edit: Edit, node: NodeProto, name: str, position: int) -> list[int] | None:
    """Integers that a node has as an attribute or, since a later operator set, as an input.

    Returns:
        None where it has neither, or an input that is no constant.
    """
    given = attribute(node, name)
    if given is not None:
        return [int(v) for v in np.asarray(given).reshape(-1)]
    if len(node.input) <= position or not node.input[position]:
        return None
    value = edit.constant(node.input[position])
    return None if value is None else [int(v) for v in value.reshape(-1)]


def _rename(names: Any, current: Any) -> None:
    for index, name in enumerate(names):
        new = current(name)
        if new != name:
            names[index] = new


def broadcast_axes(shape: Sequence[int], rank: int) -> tuple[int, ...]:
    """A shape with leading ones up to a rank."""
    return (1,) * (rank - len(shape)) + tuple(shape)
