"""Channels last: every feature map in the order it streams, (N, H, W, C).

    requires   FINN's dialect as `finn_graph` writes it: convolutions, sums and thresholds on
               (N, C, H, W), other operators on (N, H, W, C) between two transposes
    transform  one walk in execution order; each map gets a twin with its channels last, and nodes
               read and write twins:
                   Conv              -> Im2Col + MatMul, weights (ky, kx, c) x out
                   MultiThreshold    -> on the last axis
                   Transpose         -> nothing: it stands between a map and its twin
                   Flatten, MatMul   -> the vector in stream order, weights' rows to match
    ensures    no transpose is left, but in front of an operator that is not known here, and of a
               Flatten for anything but a MatMul: that vector would be a boundary in another order

FINN and qonnx have passes that move one transpose at a time and look at the whole model after each
move; the walk needs no rounds and takes milliseconds for a hundred layers.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def channels_last(model: ModelWrapper) -> ModelWrapper:
    """Rewrite a model of `finn_graph.to_finn` in place; returns it.

    An operator that takes maps and is not known here gets its (N, C, H, W) back from a transpose.
    """
    _Walk(model).run()
    return model


class _Walk:
    def __init__(self, model: ModelWrapper) -> None:
        self.model = model
        self.nodes: list[NodeProto] = []
        # (N, C, H, W) tensor -> its twin, and a transposed copy -> the twin it equals
        self.twins: dict[str, str] = {}
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
        if output.name in self.twins:
            self._leave(self.twins[output.name])

    def _node(self, node: NodeProto) -> None:
        if node.op_type == "Transpose" and self._absorbed(node):
            return
        node.input[:] = [self.copies.get(name, name) for name in node.input]
        mapped = [name for name in node.input if name in self.twins]
        if mapped and node.op_type == "Conv":
            self._conv(node)
        elif mapped and node.op_type == "MultiThreshold":
            _set(node, "data_layout", "NHWC")
            self._onto_twins(node)
        elif node.op_type == "Add" and len(mapped) == 2:
            self._onto_twins(node)
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
        """Whether a transpose stands between a map and its twin."""
        source, result = self.copies.get(node.input[0], node.input[0]), node.output[0]
        perm = list(_get(node, "perm"))
        if perm == TO_FIRST:
            self._adopt(source, result)
            return True
        if perm == TO_LAST and source in self.twins:
            self.copies[result] = self.twins[source]
            return True
        return False

    def _adopt(self, twin: str, name: str) -> None:
        """Make `twin` the twin of `name`, with its type."""
        batch, channels, height, width = self.model.get_tensor_shape(name)
        self.twins[name] = twin
        self.model.set_tensor_shape(twin, (batch, height, width, channels))
        self.model.set_tensor_datatype(twin, self.model.get_tensor_datatype(name))

    def _new_twin(self, name: str) -> str:
        self._adopt(f"{name}.last", name)
        return self.twins[name]

    def _onto_twins(self, node: NodeProto) -> None:
        node.input[:] = [self.twins.get(name, name) for name in node.input]
        node.output[0] = self._new_twin(node.output[0])
        self.nodes.append(node)

    def _conv(self, node: NodeProto) -> None:
        source, (weights, result) = self.twins[node.input[0]], (node.input[1], node.output[0])
        _, height, width, channels = self.model.get_tensor_shape(source)
        kernel, stride, pads = (list(_get(node, k)) for k in ("kernel_shape", "strides", "pads"))
        depthwise = _get(node, "group") > 1
        codes = self.model.get_initializer(weights)
        if depthwise:
            # FINN finds depthwise units by matrices that are zero between channels.
            self.model.set_tensor_sparsity(weights, {"dw": {"kernel_shape": kernel}})
            codes = codes * np.eye(channels, dtype=codes.dtype)[:, :, None, None]
        self._set_constant(weights, codes.transpose(2, 3, 1, 0).reshape(-1, len(codes)))
        twin = self._new_twin(result)
        if max(*kernel, *stride) > 1 or any(pads):
            window = f"{result}.window"
            _, rows, columns, _ = self.model.get_tensor_shape(twin)
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
        self._add("MatMul", [source, weights], twin, name=node.name)

    def _flatten(self, node: NodeProto) -> None:
        name = node.input[0]
        shape = self.model.get_tensor_shape(name)[1:]
        order = np.arange(prod(shape)).reshape(shape).transpose(1, 2, 0).reshape(-1)
        node.input[0] = self.twins[name]
        self.orders[node.output[0]] = order
        self.nodes.append(node)

    def _restore(self, name: str) -> None:
        """(N, C, H, W) from the twin."""
        if not any(name in node.output for node in self.nodes):
            self._add("Transpose", [self.twins[name]], name, perm=TO_FIRST)

    def _any_order_will_do(self, node: NodeProto) -> bool:
        """Whether a Flatten's readers take any order, or there is only one."""
        _, channels, height, width = self.model.get_tensor_shape(node.input[0])
        users = self.model.find_consumers(node.output[0])
        products = bool(users) and all(user.op_type == "MatMul" for user in users)
        return products or 1 in (channels, height * width)

    def _set_constant(self, name: str, values: np.ndarray) -> None:
        self.model.set_initializer(name, np.ascontiguousarray(values))

    def _leave(self, twin: str) -> None:
        """A feature map leaves in stream order: the order of its axes is the host's business."""
        graph = self.model.graph
        entry = next(item for item in graph.value_info if item.name == twin)
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
