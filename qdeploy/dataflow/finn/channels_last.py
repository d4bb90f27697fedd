"""Channels last: every feature map in the order it streams, (N, H, W, C).

    requires   FINN's dialect as `finn/graph.py` writes it: convolutions, sums and thresholds on
               (N, C, H, W), other operators on (N, H, W, C) between two transposes
    transform  one walk in execution order; each map gets a tensor with its channels last, and nodes
               read and write those NHWC tensors:
                   Conv              -> Im2Col + MatMul, weights (ky, kx, c) x out
                   MultiThreshold    -> on the last axis
                   Transpose         -> nothing: it is between a map and its NHWC tensor
                   Flatten, MatMul   -> the vector in stream order, weights' rows to match
    ensures    no transpose is left, except before an operator that is not known here, and before a
               Flatten for anything but a MatMul: that vector would be a boundary in another order

FINN and qonnx have passes that move one transpose at a time and look at the whole model after each
move; the walk needs no rounds and takes milliseconds for a hundred layers.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.ir.layout import to_stream_order

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def channels_last(model: ModelWrapper) -> ModelWrapper:
    """Rewrite a model of `graph.to_finn` in place; returns it.

    An operator that takes maps and is not known here gets its (N, C, H, W) back from a transpose.
    """
    _Walk(model).run()
    return model


class _Walk:
    def __init__(self, model: ModelWrapper) -> None:
        self.model = model
        self.nodes: list[NodeProto] = []
        # (N, C, H, W) tensor -> the same map as (N, H, W, C); transposed copy -> what it equals
        self.nhwc_of: dict[str, str] = {}
        self.copies: dict[str, str] = {}
        # Vectors in stream order: element i is element order[i] of the file's vector.
        self.orders: dict[str, np.ndarray] = {}

    def run(self) -> None:
        graph = self.model.graph
        for node in list(graph.node):
            self._node(node)
        del graph.node[:]
        graph.node.extend(self.nodes)
        output = graph.output[0]
        if output.name in self.nhwc_of:
            self._leave(self.nhwc_of[output.name])

    def _node(self, node: NodeProto) -> None:
        if node.op_type == "Transpose" and self._absorbed(node):
            return
        node.input[:] = [self.copies.get(name, name) for name in node.input]
        mapped = [name for name in node.input if name in self.nhwc_of]
        if mapped and node.op_type == "Conv":
            self._conv(node)
        elif mapped and node.op_type == "MultiThreshold":
            _set(node, "data_layout", "NHWC")
            self._onto_nhwc(node)
        elif node.op_type == "Add" and len(mapped) == 2:
            self._onto_nhwc(node)
        elif mapped and node.op_type == "Flatten" and self._any_order_will_do(node):
            self._flatten(node)
        elif node.op_type == "MatMul" and node.input[0] in self.orders:
            rows = self.model.get_initializer(node.input[1])
            self._set_constant(node.input[1], rows[self.orders[node.input[0]]])
            self.nodes.append(node)
        else:
            for name in dict.fromkeys(mapped):
                self._restore(name)
            self.nodes.append(node)

    def _absorbed(self, node: NodeProto) -> bool:
        """Whether a transpose is between a map and its NHWC tensor."""
        source, result = self.copies.get(node.input[0], node.input[0]), node.output[0]
        perm = list(_get(node, "perm"))
        if perm == TO_FIRST:
            self._adopt(source, result)
            return True
        if perm == TO_LAST and source in self.nhwc_of:
            self.copies[result] = self.nhwc_of[source]
            return True
        return False

    def _adopt(self, nhwc: str, name: str) -> None:
        """Make `nhwc` the map `name` with its channels last, with its type."""
        batch, channels, height, width = self.model.get_tensor_shape(name)
        self.nhwc_of[name] = nhwc
        self.model.set_tensor_shape(nhwc, (batch, height, width, channels))
        self.model.set_tensor_datatype(nhwc, self.model.get_tensor_datatype(name))

    def _new_nhwc(self, name: str) -> str:
        self._adopt(f"{name}.last", name)
        return self.nhwc_of[name]

    def _onto_nhwc(self, node: NodeProto) -> None:
        node.input[:] = [self.nhwc_of.get(name, name) for name in node.input]
        node.output[0] = self._new_nhwc(node.output[0])
        self.nodes.append(node)

    def _conv(self, node: NodeProto) -> None:
        source, (weights, result) = self.nhwc_of[node.input[0]], (node.input[1], node.output[0])
        _, height, width, channels = self.model.get_tensor_shape(source)
        kernel, stride, pads = (list(_get(node, k)) for k in ("kernel_shape", "strides", "pads"))
        depthwise = _get(node, "group") > 1
        codes = self.model.get_initializer(weights)
        if depthwise:
            # FINN finds depthwise units by matrices that are zero between channels.
            self.model.set_tensor_sparsity(weights, {"dw": {"kernel_shape": kernel}})
            codes = codes * np.eye(channels, dtype=codes.dtype)[:, :, None, None]
        self._set_constant(weights, codes.transpose(2, 3, 1, 0).reshape(-1, len(codes)))
        nhwc = self._new_nhwc(result)
        if max(*kernel, *stride) > 1 or any(pads):
            window = f"{result}.window"
            _, rows, columns, _ = self.model.get_tensor_shape(nhwc)
            self.model.set_tensor_shape(window, (1, rows, columns, prod(kernel) * channels))
            self.model.set_tensor_datatype(window, self.model.get_tensor_datatype(source))
            self._add(
                "Im2Col",
                [source],
                window,
                domain="qonnx.custom_op.general",
                stride=stride,
                kernel_size=kernel,
                pad_amount=pads,
                input_shape=f"(1,{height},{width},{channels})",
                depthwise=int(depthwise),
                dilations=list(_get(node, "dilations")),
            )
            source = window
        self._add("MatMul", [source, weights], nhwc, name=node.name)

    def _flatten(self, node: NodeProto) -> None:
        name = node.input[0]
        shape = self.model.get_tensor_shape(name)[1:]
        maps = np.arange(prod(shape)).reshape(shape)
        order = to_stream_order(maps, frames=False).reshape(-1)
        node.input[0] = self.nhwc_of[name]
        self.orders[node.output[0]] = order
        self.nodes.append(node)

    def _restore(self, name: str) -> None:
        """(N, C, H, W) from the NHWC tensor."""
        if not any(name in node.output for node in self.nodes):
            self._add("Transpose", [self.nhwc_of[name]], name, perm=TO_FIRST)

    def _any_order_will_do(self, node: NodeProto) -> bool:
        """Whether a Flatten's readers take any order, or there is only one."""
        _, channels, height, width = self.model.get_tensor_shape(node.input[0])
        users = self.model.find_consumers(node.output[0])
        products = bool(users) and all(user.op_type == "MatMul" for user in users)
        return products or 1 in (channels, height * width)

    def _set_constant(self, name: str, values: np.ndarray) -> None:
        self.model.set_initializer(name, np.ascontiguousarray(values))

    def _leave(self, nhwc: str) -> None:
        """A feature map leaves in stream order: the host puts its axes in order."""
        graph = self.model.graph
        entry = next(item for item in graph.value_info if item.name == nhwc)
        entry.type.tensor_type.elem_type = graph.output[0].type.tensor_type.elem_type
        graph.value_info.remove(entry)
        del graph.output[:]
        graph.output.append(entry)

    def _add(self, op: str, inputs: list[str], output: str, name: str = "", **more: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **more))


def _get(node: NodeProto, name: str) -> Any:
    from onnx import helper

    return next(helper.get_attribute_value(a) for a in node.attribute if a.name == name)


def _set(node: NodeProto, name: str, value: str) -> None:
    next(a for a in node.attribute if a.name == name).s = value.encode()
