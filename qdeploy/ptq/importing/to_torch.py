"""A float ONNX file as a module of torch, checked against onnxruntime.

What a node computes is a module of torch under the node's name, so that every tool that reads
modules (torch.fx, Brevitas) reads the network. Factors and terms of channels behind a layer, such
as a batch norm, are folded into its weights:

    y = (W·x + b)·g + h = (g·W)·x + (b·g + h)
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from onnx import ModelProto, NodeProto
from torch import fx, nn

from qdeploy.errors import InternalError
from qdeploy.ir.input_codes import RawType
from qdeploy.lowering.canonical.edit import Edit
from qdeploy.lowering.canonical.executor import execute
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.ptq.importing.float_file import FloatFile, input_turn, read_float_file
from qdeploy.ptq.importing.modules import affine_of, layer_of, plain_module

TOLERANCE = 1e-3  # of the largest result: sums are in another order
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": operator.truediv,
}


@dataclass(frozen=True)
class FloatNetwork:
    """A network that was read from a file.

    Args:
        module: in evaluation mode; takes float32 (N, *shape).
        shape: of a frame as the module takes it: (C, H, W), (C, L) or (features,).
        given_shape: of a frame as the file takes it.
        turn: order of the file's axes in those of the module, () where they are the same.
        raw: the integers that its input is made of, None where the file does not say.
        notes: what a person should know of how it was read.
    """

    module: fx.GraphModule
    shape: tuple[int, ...]
    given_shape: tuple[int, ...]
    turn: tuple[int, ...]
    raw: RawType | None
    notes: tuple[str, ...]


def import_float(path: Path) -> FloatNetwork:
    """Read a float network from an ONNX file.

    Raises:
        UserError, UnsupportedLayerError: as of `read_float_file`; or a node does what cannot be
            quantized.
    """
    file = read_float_file(path)
    _, turn = input_turn(file.model)
    dims = file.model.graph.input[0].type.tensor_type.shape.dim
    given = tuple(int(dim.dim_value) for dim in list(dims)[1:])
    module = _Writer(file.model).module(path.stem)
    shape = tuple(given[axis] for axis in turn) if turn else given
    network = FloatNetwork(module.eval(), shape, given, turn, file.raw, file.notes)
    _check_same(file, network)
    return network


@dataclass
class _Writer:
    model: ModelProto
    _root: nn.Module = field(default_factory=nn.Module)
    _graph: fx.Graph = field(default_factory=fx.Graph)
    _values: dict[str, fx.Node] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def module(self, name: str) -> fx.GraphModule:
        self._edit = Edit(self.model)
        self._done: set[int] = set()
        first, _ = input_turn(self.model)
        self._values[self.model.graph.input[0].name] = self._graph.placeholder("x")
        for node in self.model.graph.node:
            if first is not None and node is first:
                self._values[node.output[0]] = self._values[node.input[0]]
            elif id(node) not in self._done:
                self._write(node)
        output = self.model.graph.output[0].name
        self._graph.output(self._values[output])
        self._graph.lint()
        return fx.GraphModule(self._root, self._graph, _identifier(name))

    def _write(self, node: NodeProto) -> None:
        if node.op_type in ("Conv", "ConvTranspose", "MatMul") and node.input[0] in self._values:
            last, scale, bias = self._behind(node)
            modules = layer_of(self._edit, node, scale, bias)
            *before, layer = modules
            made = self._values[node.input[0]]
            for module in before:
                made = self._call(f"{module_path(node)}_pad", module, made)
            self._values[last.output[0]] = self._call(module_path(node), layer, made)
            return
        found = None
        if node.input[0] in self._values:
            found = plain_module(self._edit, node)
        if found is not None:
            made = self._values[node.input[0]]
            parts = list(found) if isinstance(found, nn.Sequential) else [found]
            for part in parts:
                made = self._call(module_path(node), part, made)
        else:
            made = self._function(node)
        self._values[node.output[0]] = made

    def _behind(
        self, node: NodeProto
    ) -> tuple[NodeProto, npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
        """The last of the factors and terms behind a layer, and all of them together."""
        last, total = node, None
        channels = self._edit.shape(node.output[0])[1]
        while (reader := self._edit.only_reader(last.output[0])) is not None:
            found = affine_of(self._edit, reader, channels)
            if found is None:
                break
            scale, bias = total or (np.ones(channels), np.zeros(channels))
            total = scale * found[0], bias * found[0] + found[1]
            self._done.add(id(reader))
            last = reader
        return last, *(total or (None, None))

    def _function(self, node: NodeProto) -> fx.Node:
        if node.op_type == "Concat":
            axis = next(item.i for item in node.attribute if item.name == "axis")
            rank = len(self._edit.shape(node.output[0]))
            if axis % rank != 1 or not all(name in self._values for name in node.input):
                raise refuse(node, "it joins other axes than channels", do="use axis 1")
            parts = [self._values[name] for name in node.input]
            return self._graph.call_function(torch.cat, (parts, 1))
        if node.op_type not in _ARITHMETIC or len(node.input) != 2:
            raise refuse(node, "it has a form that is not known here")
        operands = [self._operand(node, name) for name in node.input]
        return self._graph.call_function(_ARITHMETIC[node.op_type], tuple(operands))

    def _operand(self, node: NodeProto, name: str) -> fx.Node:
        if name in self._values:
            return self._values[name]
        value = self._edit.constant(name)
        if value is None:
            raise refuse(node, f"it reads `{name}`, which nothing makes")
        own = self._name(f"{module_path(node)}_constant").replace(".", "_")
        self._root.register_buffer(own, torch.from_numpy(value.astype(np.float32).copy()))
        return self._graph.get_attr(own)

    def _call(self, name: str, module: nn.Module, value: fx.Node) -> fx.Node:
        own = self._name(name)
        *scopes, last = own.split(".")
        parent = self._root
        for scope in scopes:
            if not hasattr(parent, scope):
                parent.add_module(scope, nn.Module())
            parent = getattr(parent, scope)
        parent.add_module(last, module)
        return self._graph.call_module(own, (value,))

    def _name(self, name: str) -> str:
        """A name that no module has, nor is below one."""
        parts = [re.sub(r"\W", "_", part) for part in name.split(".") if part]
        stem = found = ".".join(parts) or "layer"
        number = 1
        while self._is_taken(found):
            number += 1
            found = f"{stem}_{number}"
        self._taken.add(found)
        return found

    def _is_taken(self, name: str) -> bool:
        scopes = name.split(".")
        above = {".".join(scopes[:count]) for count in range(1, len(scopes) + 1)}
        own = set(dir(nn.Module)) | {"x"}
        return (
            bool(above & self._taken)
            or any(one.startswith(f"{name}.") for one in self._taken)
            or scopes[0] in own
        )


def _identifier(name: str) -> str:
    """The name of a class after a file."""
    word = re.sub(r"\W", "_", name)
    return word if word[:1].isalpha() else f"Network_{word}"


def _check_same(file: FloatFile, network: FloatNetwork) -> None:
    """Whether the module computes what onnxruntime computes with the file.

    Raises:
        InternalError: it does not.
    """
    frames = np.random.default_rng(0).standard_normal((2, *network.given_shape)).astype(np.float32)
    output = file.whole.graph.output[0].name
    wanted = np.concatenate([execute(file.whole, one[None])[output] for one in frames])
    with torch.no_grad():
        made = network.module(torch.from_numpy(turned(frames, network.turn))).numpy()
    wanted = wanted.reshape(len(frames), -1)
    made = made.reshape(len(frames), -1)
    if made.shape != wanted.shape:
        raise InternalError(f"a module for {wanted.shape} gives {made.shape}")
    off = float(np.abs(made - wanted).max() / max(1e-9, float(np.abs(wanted).max())))
    if not off < TOLERANCE:
        raise InternalError(f"the imported network differs from the file by {off:.2g}")


def turned(frames: npt.NDArray[Any], turn: tuple[int, ...]) -> npt.NDArray[Any]:
    """Frames (N, ...) of a file in the order of the module's axes."""
    if not turn:
        return frames
    return np.ascontiguousarray(frames.transpose(0, *(axis + 1 for axis in turn)))
