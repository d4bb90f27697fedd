"""Sequences (N, channels, length) and shared linear layers as maps of one row.

Conv, ConvTranspose, MaxPool, averages, Pad, Resize of (N, C, L)  -> the same of (N, C, 1, L)
MatMul of (N, L, F) or (N, H, W, F) with weights (F, G)           -> Conv of kernel 1
MatMul of (N, 1, F)                                               -> MatMul of the vector

Each node is rewritten alone, between an Unsqueeze and a Squeeze (and transposes); `layout.py` then
joins what meets, so that a sequence is a map of one row from the input to the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from qdeploy.lowering.canonical.edit import Edit, integers
from qdeploy.lowering.canonical.local_check import Rewritten
from qdeploy.lowering.canonical.passes import Pass, PassResult
from qdeploy.lowering.canonical.qonnx_functions import infer_shapes

_WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool")
# Numbers per axis of a window, and what they are along the new one; pads have begins and ends.
_PER_AXIS = {"kernel_shape": 1, "strides": 1, "dilations": 1, "pads": 0, "output_padding": 0}


class OneRow(Pass):
    """Windows of sequences become windows of maps of one row, shared linear layers convolutions."""

    tolerance = 1e-5

    def call(self, model: ModelProto) -> PassResult:
        edit = Edit(model)
        rewritten = []
        for node in edit.nodes:
            made = _Made(edit, node)
            if made.write():
                old = NodeProto.FromString(node.SerializeToString())
                rewritten.append(Rewritten(old, tuple(made.nodes), tuple(made.constants)))
                edit.replace(node, made.nodes)
        if not edit.apply():
            return PassResult(model, False)
        return PassResult(infer_shapes(model), True, tuple(rewritten))


class _Made:
    """What takes the place of one node."""

    def __init__(self, edit: Edit, node: NodeProto) -> None:
        self.edit, self.node = edit, node
        self.stem = node.name or node.output[0]
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def write(self) -> bool:
        """Write the new nodes; whether the node is one of those that are rewritten."""
        node, shape = self.node, self.edit.shape(self.node.input[0]) if self.node.input else ()
        if node.op_type == "MatMul":
            return self._shared_linear(shape)
        if len(shape) != 3 or sum(bool(name) for name in node.output) != 1:
            return False
        if node.op_type in _WINDOWS:
            return self._window()
        if node.op_type == "Resize":
            return self._resize()
        return node.op_type == "Pad" and self._pad()

    def _window(self) -> bool:
        node = NodeProto.FromString(self.node.SerializeToString())
        for item in node.attribute:
            if item.name in _PER_AXIS:
                values = list(item.ints)
                if len(values) != (2 if item.name == "pads" else 1):
                    return False
                item.ints[:] = [n for value in values for n in (_PER_AXIS[item.name], value)]
        node.input[0] = self._op("Unsqueeze", node.input[0], "rows", [2])
        if node.op_type in ("Conv", "ConvTranspose"):
            if len(self.edit.shape(node.input[1])) != 3:
                return False
            node.input[1] = self._op("Unsqueeze", node.input[1], "kernels", [2])
        self._between(node)
        return True

    def _resize(self) -> bool:
        node = NodeProto.FromString(self.node.SerializeToString())
        given = self.edit.constant(node.input[2]) if len(node.input) == 3 else None
        if given is None or given.size != 3:
            return False
        node.input[0] = self._op("Unsqueeze", node.input[0], "rows", [2])
        node.input[2] = self._constant("factors", np.insert(given, 2, 1).astype(np.float32))
        self._between(node)
        return True

    def _pad(self) -> bool:
        node = NodeProto.FromString(self.node.SerializeToString())
        sizes = integers(self.edit, node, "pads", 1)
        axes = [0, 1, 2]
        if len(node.input) > 3 and node.input[3]:
            given = self.edit.constant(node.input[3])
            if given is None:
                return False
            axes = [int(axis) % 3 for axis in given.reshape(-1)]
        if sizes is None or len(sizes) != 2 * len(axes):
            return False
        around = [0] * 8
        for place, axis in enumerate(axes):
            wide = 3 if axis == 2 else axis
            around[wide], around[wide + 4] = sizes[place], sizes[place + len(axes)]
        value = node.input[2] if len(node.input) > 2 else ""
        pads = self._constant("pads", np.array(around, np.int64))
        node.input[:] = [self._op("Unsqueeze", node.input[0], "rows", [2]), pads, value]
        for item in [item for item in node.attribute if item.name == "pads"]:
            node.attribute.remove(item)
        self._between(node)
        return True

    def _shared_linear(self, shape: tuple[int, ...]) -> bool:
        """A product of every row with the same weights."""
        node, edit = self.node, self.edit
        weights = edit.shape(node.input[1])
        rank = len(shape)
        if rank not in (3, 4) or len(weights) != 2 or shape[-1] != weights[0] or shape[0] != 1:
            return False
        if not _is_constant(edit, node.input[1]) or _is_constant(edit, node.input[0]):
            return False
        inputs, outputs = weights
        if rank == 3 and shape[1] == 1:
            vector = self._op("Reshape", node.input[0], "vector", [1, inputs])
            self._add("MatMul", [vector, node.input[1]], f"{self.stem}_product", self.stem)
            target = self._constant("target", np.array([1, 1, outputs], np.int64))
            self._add(
                "Reshape", [f"{self.stem}_product", target], node.output[0], f"{self.stem}_shaped"
            )
            return True
        channels = self._turned(node.input[0], "channels", [0, rank - 1, *range(1, rank - 1)])
        if rank == 3:
            channels = self._op("Unsqueeze", channels, "rows", [2])
        kernel = self._turned(node.input[1], "columns", [1, 0])
        kernel = self._op("Reshape", kernel, "kernels", [outputs, inputs, 1, 1])
        sums = f"{node.output[0]}_sums"
        self._add("Conv", [channels, kernel], sums, self.stem, kernel_shape=[1, 1])
        if rank == 3:
            sums = self._op("Squeeze", sums, "flat", [2])
        back = [0, *range(2, rank), 1]
        self._add("Transpose", [sums], node.output[0], f"{self.stem}_back", perm=back)
        return True

    def _between(self, node: NodeProto) -> None:
        """Add a node whose result loses its new axis."""
        target, node.output[0] = node.output[0], f"{self.node.output[0]}_row"
        self.nodes.append(node)
        axes = self._constant("axes", np.array([2], np.int64))
        self._add("Squeeze", [node.output[0], axes], target, f"{self.stem}_flat")

    def _op(self, kind: str, source: str, end: str, numbers: Sequence[int]) -> str:
        """A node with a list of numbers as its second input; returns its result."""
        given = self._constant(f"{end}_{kind.lower()}", np.array(numbers, np.int64))
        return self._add(
            kind, [source, given], f"{self.node.output[0]}_{end}", f"{self.stem}_{end}"
        )

    def _turned(self, source: str, end: str, perm: Sequence[int]) -> str:
        target = f"{self.node.output[0]}_{end}"
        return self._add("Transpose", [source], target, f"{self.stem}_{end}", perm=list(perm))

    def _add(self, kind: str, inputs: list[str], target: str, name: str, **how: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [target], name, **how))
        return target

    def _constant(self, end: str, value: np.ndarray) -> str:
        name = self.edit.add_constant(f"{self.node.output[0]}_{end}", value)
        self.constants.append(numpy_helper.from_array(value, name))
        return name


def _is_constant(edit: Edit, name: str) -> bool:
    """Whether a tensor is computed from constants alone."""
    while (node := edit.producer(name)) is not None:
        name = node.input[0]
    return edit.is_constant(name)
