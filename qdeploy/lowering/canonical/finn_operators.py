"""Operators that FINN's transformations leave in a file become standard ones, before all else.

    Im2Col -> MatMul         Conv: rows of the matrix are (row of the window, column, channel)
    XnorPopcountMatMul       (Σ (2x - 1)(2w - 1) + K) / 2  =  Σ x·(2w - 1) + Σ (1 - w)
    MaxPoolNHWC              MaxPool

Convolutions and pools read (N, H, W, C) there, so transposes stand around them. The sums of
XnorPopcountMatMul over K inputs count equal bits; the identity holds for all x and w.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, helper, numpy_helper

from qdeploy.lowering.canonical.annotations import TYPE_KEY, datatypes
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.refusal import WEIGHTED, refuse

KINDS = ("Im2Col", "XnorPopcountMatMul", "MaxPoolNHWC")
# From (kh, kw, in, out).
_WEIGHTS = [3, 2, 0, 1]
_PADS = 4

Array = npt.NDArray[Any]


def standard_operators(model: ModelProto) -> None:
    """Rewrite FINN's operators in place.

    Raises:
        UnsupportedLayerError: one stands where no transformation puts it.
    """
    if any(node.op_type in KINDS for node in model.graph.node):
        _Rewriting(model).run()


class _Rewriting:
    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.constants = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self.nodes: list[NodeProto] = []
        # What an Im2Col made -> the node: the matrix product after it is the convolution.
        self.windows: dict[str, NodeProto] = {}

    def run(self) -> None:
        for original in self.model.graph.node:
            node = NodeProto.FromString(original.SerializeToString())
            if node.op_type in (*KINDS, "MatMul"):
                _check_counts(node)
            if node.op_type == "XnorPopcountMatMul":
                self._xnor(node)
            else:
                self._add(node)
        del self.model.graph.node[:]
        self.model.graph.node.extend(self.nodes)
        for node in self.windows.values():
            if any(node.output[0] in reader.input for reader in self.nodes):
                raise refuse(
                    node,
                    "Im2Col whose windows are not read by a matrix product alone",
                    expected="map (N, H, W, C) -> Im2Col -> MatMul with constant weights",
                    do="keep Conv in the file, or lower it by LowerConvsToMatMul",
                )

    def _add(self, node: NodeProto) -> None:
        if node.op_type == "Im2Col":
            self.windows[node.output[0]] = node
        elif node.op_type == "MatMul" and node.input[0] in self.windows:
            self._convolution(node, self.windows[node.input[0]])
        elif node.op_type == "MaxPoolNHWC":
            pool = helper.make_node("MaxPool", node.input, node.output, node.name)
            pool.attribute.extend(node.attribute)
            self._planes(pool)
        else:
            self.nodes.append(node)

    def _xnor(self, node: NodeProto) -> None:
        """A product with weights -1 and +1, and a term for each output."""
        weights = self.constants.get(node.input[1]) if len(node.input) > 1 else None
        if weights is None or weights.ndim != 2:
            raise refuse(
                node,
                "XnorPopcountMatMul without a constant matrix",
                expected=WEIGHTED.format("Linear"),
                do="use constant weights 0 and 1 of (inputs, outputs)",
            )
        signs, stem = 2 * weights.astype(np.float64) - 1, node.output[0]
        kind = "BIPOLAR" if bool((np.abs(signs) == 1).all()) else None
        matrix = self._constant(f"{stem}_signs", signs.astype(np.float32), kind)
        self.constants[matrix] = signs.astype(np.float32)
        zeros = (1 - weights.astype(np.float64)).sum(axis=0)
        term = self._constant(f"{stem}_zeros", zeros.astype(np.float32))
        product = helper.make_node(
            "MatMul", [node.input[0], matrix], [f"{stem}_product"], node.name
        )
        self._add(product)
        self.nodes.append(
            helper.make_node("Add", [product.output[0], term], [stem], f"{node.name}_zeros")
        )

    def _convolution(self, node: NodeProto, window: NodeProto) -> None:
        """A matrix product of windows."""
        how = attributes_of(window)
        kernel, stride, dilation, pads = (
            _numbers(how.get(key, default))
            for key, default in (
                ("kernel_size", []),
                ("stride", []),
                ("dilations", [1, 1]),
                ("pad_amount", [0, 0, 0, 0]),
            )
        )
        plain = len(kernel) == len(stride) == len(dilation) == 2 and len(pads) == _PADS
        if not plain or min(kernel, default=0) < 1 or how.get("pad_value", 0):
            raise refuse(
                window,
                f"Im2Col of kernel {kernel}, stride {stride}, padding {pads}"
                + (f" with {how['pad_value']}" if how.get("pad_value") else ""),
                why="a window has two axes, and padding is 0",
                do="lower convolutions by LowerConvsToMatMul",
            )
        weights, groups = self._kernel(node, kernel, how.get("depthwise", 0) == 1)
        made = helper.make_node(
            "Conv",
            [window.input[0], weights],
            node.output,
            node.name or window.name,
            kernel_shape=kernel,
            strides=stride,
            dilations=dilation,
            pads=pads,
            group=groups,
        )
        self._planes(made)

    def _kernel(self, node: NodeProto, kernel: list[int], depthwise: bool) -> tuple[str, int]:
        """Weights (out, in / groups, kh, kw) and groups, from a matrix (kh·kw·in, out)."""
        name, stem = node.input[1], f"{node.output[0]}_kernel"
        quantizer = next((one for one in self.nodes if name in one.output), None)
        stored = name if quantizer is None else quantizer.input[0]
        matrix, taps = self.constants.get(stored), kernel[0] * kernel[1]
        if matrix is None or matrix.ndim != 2 or len(matrix) % taps:
            raise refuse(
                node,
                f"windows of {kernel} times "
                + ("what is no constant" if matrix is None else f"a constant of {matrix.shape}"),
                expected="Im2Col -> MatMul with a constant matrix (kh * kw * inputs, outputs)",
                do="lower convolutions by LowerConvsToMatMul",
            )
        shape = (*kernel, len(matrix) // taps, matrix.shape[1])
        if quantizer is not None:
            target = self._constant(f"{stem}_shape", np.array(shape, dtype=np.int64))
            self.nodes += [
                helper.make_node("Reshape", [name, target], [f"{stem}_wide"], f"{stem}_reshape"),
                helper.make_node(
                    "Transpose", [f"{stem}_wide"], [stem], f"{stem}_transpose", perm=_WEIGHTS
                ),
            ]
            return stem, 1
        weights = matrix.reshape(shape).transpose(_WEIGHTS)
        count, inputs = weights.shape[:2]
        groups, own = 1, np.arange(min(count, inputs))
        if depthwise and count == inputs and (weights != 0).sum() == (weights[own, own] != 0).sum():
            weights, groups = weights[own, own][:, None], count
        return self._constant(stem, weights.astype(np.float32), self._type(name)), groups

    def _planes(self, node: NodeProto) -> None:
        """A node that reads and makes (N, C, H, W), between transposes."""
        stem, source, target = node.output[0], node.input[0], node.output[0]
        node.input[0], node.output[0] = f"{stem}_planes", f"{stem}_result"
        self.nodes += [
            helper.make_node(
                "Transpose", [source], [node.input[0]], f"{stem}_in", perm=[0, 3, 1, 2]
            ),
            node,
            helper.make_node(
                "Transpose", [node.output[0]], [target], f"{stem}_out", perm=[0, 2, 3, 1]
            ),
        ]

    def _constant(self, name: str, values: Array, kind: str | None = None) -> str:
        """Add a constant, annotated where a type is given."""
        self.model.graph.initializer.append(numpy_helper.from_array(np.array(values), name))
        if kind is not None:
            note = self.model.graph.quantization_annotation.add(tensor_name=name)
            note.quant_parameter_tensor_names.add(key=TYPE_KEY, value=kind)
        return name

    def _type(self, name: str) -> str | None:
        return datatypes(self.model).get(name)


def _numbers(value: Any) -> list[int]:
    """A list of integers; an empty one for what is none."""
    whole = isinstance(value, list) and all(isinstance(one, int) for one in value)
    return list(value) if whole else []


def _check_counts(node: NodeProto) -> None:
    inputs = 2 if node.op_type.endswith("MatMul") else 1
    if len(node.input) != inputs or len(node.output) != 1:
        node.name = node.name or node.op_type
        raise refuse(
            node,
            f"it has {len(node.input)} inputs and {len(node.output)} results",
            why=f"a {node.op_type} has {inputs} and one",
            do="export the network again",
        )
