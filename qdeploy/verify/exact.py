"""A QONNX file in exact arithmetic, element by element: the judge where float engines differ.

    value      the exact value of an element, as the file's float32 numbers give it
    size       the same expression with every term's magnitude: Σ|w|·|a| for a sum
    roundings  the most roundings on a way from a constant or code to the element

An engine that computes in float32, in whatever order, is within

    |float - value| <= γ_n · size        γ_n = n·u / (1 - n·u),  u = 2^-24,  n = roundings

(Higham, Accuracy and Stability of Numerical Algorithms, 2002, lemma 3.1, applied to each path of
the expression: products and sums accumulate factors 1 + δ, |δ| <= u; max and ReLU do not enlarge
an error.) Codes at quantizers are given; the file between them is read here anew, with nothing
taken from the lowering.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, numpy_helper

from qdeploy.errors import InternalError
from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.exact_curves import CURVES
from qdeploy.verify.exact_elements import Exact, Given, exact_sums
from qdeploy.verify.exact_model import attributes_of, each, elements_at, shapes_of
from qdeploy.verify.exact_moves import MOVES, by_output
from qdeploy.verify.exact_quantizer import (
    QUANTIZERS,
    Numbers,
    constant_codes,
    read_node,
)


class ExactFile:
    """Elements of the tensors of a model in canonical form.

    Args:
        model: with the shape of every tensor.
        given: tensor of the file -> its codes, for everything that a quantizer or the input gives.
    """

    def __init__(self, model: ModelProto, given: Mapping[str, Given]) -> None:
        self.model, self.given = model, given
        self.constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self._weights: dict[str, tuple[IntArray, npt.NDArray[Any]]] = {}
        self.shapes = shapes_of(model)
        self._sides: Mapping[str, int] = {}

    def moved(self, sides: Mapping[str, int]) -> ExactFile:
        """The same file with what goes into some quantizers moved by an engine's error bound.

        Args:
            sides: quantizer's tensor -> -1 for down, +1 for up.
        """
        result = copy(self)
        result._sides = sides
        return result

    def without(self, tensor: str) -> ExactFile:
        """The same file with the codes of one tensor not given."""
        result = copy(self)
        result.given = {name: value for name, value in self.given.items() if name != tensor}
        return result

    def is_quantizer(self, tensor: str) -> bool:
        """Whether a quantizer node makes a tensor."""
        node = self.makers.get(tensor)
        return node is not None and node.op_type in QUANTIZERS

    def quantizer(self, tensor: str, channel: int = 0) -> Numbers:
        """The numbers of the quantizer node that makes `tensor`.

        Raises:
            InternalError: no quantizer node with constants makes it.
        """
        node = self.makers.get(tensor)
        if node is None or not self.is_quantizer(tensor):
            raise InternalError(f"no Quant node makes `{tensor}`")
        arrays = [self._constant(name) for name in node.input[1:] if name]
        return read_node(node.op_type, arrays, attributes_of(node), channel)

    def before_quantizer(self, tensor: str, index: IntArray) -> Exact:
        """What goes into the quantizer that makes `tensor`, at some of its elements."""
        return self.elements(self.makers[tensor].input[0], index)

    def elements(self, tensor: str, index: IntArray) -> Exact:
        """Elements of a tensor.

        Args:
            index: (K, axes of the tensor): frame, channel, …

        Raises:
            InternalError: an operator that the canonical form does not have.
        """
        if not len(index):
            return Exact(np.empty(0, dtype=object), np.zeros(0), 0)
        if tensor in self.given:
            return self.given[tensor].at(index)
        if tensor in self.constants:
            values = elements_at(self.constants[tensor], index)
            exact = np.array([Fraction(float(value)) for value in values], dtype=object)
            return Exact(exact, np.abs(values).astype(np.float64), 0)
        node = self.makers.get(tensor)
        if node is None:
            raise InternalError(f"nothing in the file makes `{tensor}`")
        match node.op_type:
            case kind if kind in QUANTIZERS:
                return self._quantized(node, index)
            case "Mul" | "Div":
                return self._product(node, index)
            case "Add" | "Sub":
                return self._sum(node, index)
            case "Neg":
                return each(self.elements(node.input[0], index), lambda v: -v)
            case kind if kind in CURVES:
                return self._curve(node, index)
            case "Conv" | "ConvTranspose" | "MatMul":
                return self._dot(node, index)
            case "Flatten":
                return self.elements(node.input[0], self._unflattened(node.input[0], index))
            case "Transpose":
                order = np.argsort(attributes_of(node).get("perm", range(index.shape[1])[::-1]))
                return self.elements(node.input[0], index[:, order])
            case kind if kind in MOVES:
                return self._moved(node, index)
            case "MaxPool":
                return self._max(node, index)
            case "GlobalAveragePool" | "AveragePool" | "ReduceMean":
                return self._mean(node, index)
        raise InternalError(f"exact arithmetic does not know {node.op_type} (`{node.name}`)")

    # ---- operators ----

    def _moved(self, node: NodeProto, index: IntArray) -> Exact:
        """Elements that an operator only puts elsewhere."""
        names = [name for name in node.input if name] if node.op_type == "Concat" else node.input
        shapes = [self.shapes[name] for name in names if name in self.shapes]
        attributes = attributes_of(node)
        constants = [self.constants.get(name) for name in names]
        places = MOVES[node.op_type](index, shapes, attributes, constants)
        value = np.empty(len(index), dtype=object)
        size, roundings = np.zeros(len(index)), 0
        for name, (rows, own) in zip(names, places, strict=False):
            found = self.elements(name, own)
            value[rows], size[rows] = found.value, found.size
            roundings = max(roundings, found.roundings)
        return Exact(value, size, roundings)

    def _product(self, node: NodeProto, index: IntArray) -> Exact:
        a, b = (self._broadcast(name, node.output[0], index) for name in node.input)
        if node.op_type == "Div":
            b = Exact(np.array([1 / v for v in b.value], dtype=object), 1 / b.size, b.roundings)
        return Exact(a.value * b.value, a.size * b.size, a.roundings + b.roundings + 1)

    def _sum(self, node: NodeProto, index: IntArray) -> Exact:
        a, b = (self._broadcast(name, node.output[0], index) for name in node.input)
        value = a.value - b.value if node.op_type == "Sub" else a.value + b.value
        return Exact(value, a.size + b.size, max(a.roundings, b.roundings) + 1)

    def _broadcast(self, tensor: str, result: str, index: IntArray) -> Exact:
        """Operand of an elementwise operator: trailing axes match, those of size 1 repeat."""
        shape, rank = self.shapes[tensor], len(self.shapes[result])
        own = index[:, rank - len(shape) :].copy()
        constant = tensor in self.constants or self.is_constant(tensor)
        for axis, size in enumerate(shape):
            # Axis 0 of an activation counts frames, whatever batch the file was exported with.
            if size == 1 and (constant or axis > 0 or len(shape) < rank):
                own[:, axis] = 0
        return self.elements(tensor, own)

    def is_constant(self, tensor: str) -> bool:
        """Whether a tensor is computed from constants alone."""
        node = self.makers.get(tensor)
        if tensor in self.constants:
            return True
        return node is not None and all(self.is_constant(name) for name in node.input if name)

    def _quantized(self, node: NodeProto, index: IntArray) -> Exact:
        """A quantized constant, or a quantizer whose codes are not given."""
        if self.is_constant(node.output[0]):
            codes, scale = self._constant_codes(node)
            picked, scales = elements_at(codes, index), elements_at(scale, index)
            value = np.array(
                [Fraction(float(s)) * int(c) for s, c in zip(scales, picked, strict=True)],
                dtype=object,
            )
            return Exact(value, np.abs(picked * scales.astype(np.float64)), 2)
        before = self.elements(node.input[0], index)
        after = []
        side = self._sides.get(node.output[0], 0)
        values = before.value
        if side:
            values = values + side * np.array(before.error_fractions(), dtype=object)
        for value, channel in zip(values, index[:, 1], strict=True):
            numbers = self.quantizer(node.output[0], int(channel))
            after.append(numbers.output(numbers.code(value)))
        return Exact(np.array(after, dtype=object), before.size, before.roundings)

    def _curve(self, node: NodeProto, index: IntArray) -> Exact:
        x = self.elements(node.input[0], index)
        more = [self._broadcast(name, node.output[0], index) for name in node.input[1:] if name]
        attributes = attributes_of(node)
        if node.op_type == "Clip" and len(node.input) > 1:
            # A limit that is left out is an empty name, or none.
            limits = iter(more)
            pair = [next(limits).value if name else None for name in node.input[1:]]
            attributes |= {
                key: float(end[0])
                for key, end in zip(("min", "max"), pair, strict=False)
                if end is not None
            }
        slopes = more[0].value if node.op_type == "PRelu" else None
        return Exact(*CURVES[node.op_type](x.value, x.size, x.roundings, attributes, slopes))

    def _constant(self, tensor: str) -> npt.NDArray[Any]:
        if tensor in self.constants:
            return self.constants[tensor]
        raise InternalError(f"`{tensor}` is no constant of the file")

    def _constant_codes(self, node: NodeProto) -> tuple[IntArray, npt.NDArray[Any]]:
        """Codes and scales of a quantized constant, both of the constant's shape.

        Codes of constants are made in float32, as every engine of the file makes them.
        """
        name = node.output[0]
        if name not in self._weights:
            source = node.input[0]
            if source in self.constants:
                values = self.constants[source].astype(np.float32)
            else:
                maker = self.makers[source]
                if maker.op_type != "Transpose":
                    raise InternalError(f"a constant through {maker.op_type} (`{maker.name}`)")
                values = np.transpose(
                    self._constant(maker.input[0]), attributes_of(maker).get("perm")
                ).astype(np.float32)
            scale = np.broadcast_to(self._constant(node.input[1]).astype(np.float32), values.shape)
            arrays = [self._constant(item) for item in node.input[1:]]
            codes = constant_codes(node.op_type, values, arrays, attributes_of(node))
            self._weights[name] = codes, scale
        return self._weights[name]

    def _weight(self, tensor: str) -> tuple[IntArray, npt.NDArray[Any]]:
        """Codes and scales of a layer's weights, transposes of them included."""
        node = self.makers.get(tensor)
        if node is None:
            raise InternalError(f"the weights `{tensor}` are not quantized")
        if node.op_type == "Transpose":
            codes, scale = self._weight(node.input[0])
            perm = attributes_of(node).get("perm")
            return np.transpose(codes, perm), np.transpose(scale, perm)
        return self._constant_codes(node)

    def _dot(self, node: NodeProto, index: IntArray) -> Exact:
        """A convolution or matrix product: sums over quantized weights times activations."""
        codes, scale = self._weight(node.input[1])
        if node.op_type == "MatMul":
            terms = codes.shape[0]
            weights, scales = codes.T[index[:, -1]], scale.T[index[:, -1]]
            sources = np.repeat(index[:, None, :], terms, axis=1)
            sources[:, :, -1] = np.arange(terms)
            inside = np.ones(weights.shape, dtype=bool)
        else:
            if node.op_type == "ConvTranspose":
                groups = int(attributes_of(node).get("group", 1))
                codes, scale = (by_output(part, groups) for part in (codes, scale))
            weights, scales = (part.reshape(len(part), -1)[index[:, 1]] for part in (codes, scale))
            sources, inside = self._window(node, index, codes.shape)
        count, terms = weights.shape
        flat = sources.reshape(count * terms, -1)
        known = self.given.get(node.input[0])
        uniform = (scales == scales[:, :1]).all()
        if known is not None and known.scale is not None and uniform:
            # All integers: one sum, one scale.
            read = known.codes[tuple(flat.T)].astype(np.int64).reshape(count, terms)
            inputs = np.where(inside, read, 0)
            step = [known.scale * Fraction(float(s)) for s in scales[:, 0]]
            sums, sizes = (weights * inputs).sum(axis=1), np.abs(weights * inputs).sum(axis=1)
            value = np.array([s * int(n) for s, n in zip(step, sums, strict=True)], dtype=object)
            size = sizes * np.array([abs(float(s)) for s in step])
            result = Exact(value, size, terms + 5)
        else:
            a = self.elements(node.input[0], flat)
            w = [
                Fraction(float(s)) * int(c) if here else Fraction(0)
                for s, c, here in zip(scales.flat, weights.flat, inside.flat, strict=True)
            ]
            products = a.value * np.array(w, dtype=object)
            sizes = a.size * np.abs([float(v) for v in w])
            result = Exact(
                products.reshape(count, terms).sum(axis=1),
                sizes.reshape(count, terms).sum(axis=1),
                terms + a.roundings + 2,
            )
        if node.op_type != "MatMul" and len(node.input) > 2 and node.input[2]:
            bias = self.elements(node.input[2], index[:, 1:2])
            result = Exact(result.value + bias.value, result.size + bias.size, result.roundings + 1)
        return result

    def _window(
        self, node: NodeProto, index: IntArray, weights: tuple[int, ...]
    ) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Elements (K, terms, 4) that a convolution reads, and which lie inside the map."""
        attributes = attributes_of(node)
        stride, dilation = (list(attributes.get(key, (1, 1))) for key in ("strides", "dilations"))
        pads = list(attributes.get("pads", (0, 0, 0, 0)))
        groups = int(attributes.get("group", 1))
        outputs, inputs, tall, wide = weights
        channel, row, column = (part.reshape(-1) for part in np.indices((inputs, tall, wide)))
        first = index[:, 1] // (outputs // groups) * inputs
        found = np.empty((len(index), channel.size, 4), dtype=np.int64)
        found[..., 0] = index[:, :1]
        found[..., 1] = first[:, None] + channel
        taps = row * dilation[0], column * dilation[1]
        if node.op_type == "ConvTranspose":
            # The pixels whose kernel meets this place: those a whole number of steps away.
            apart = [index[:, a + 2 : a + 3] + pads[a] - taps[a] for a in (0, 1)]
            met = (apart[0] % stride[0] == 0) & (apart[1] % stride[1] == 0)
            found[..., 2], found[..., 3] = apart[0] // stride[0], apart[1] // stride[1]
            found, inside = self._clipped(node.input[0], found)
            return found, inside & met
        found[..., 2] = index[:, 2:3] * stride[0] - pads[0] + taps[0]
        found[..., 3] = index[:, 3:4] * stride[1] - pads[1] + taps[1]
        return self._clipped(node.input[0], found)

    def _pooled(self, node: NodeProto, index: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Elements (K, terms, 4) that a pool reads, and which lie inside the map."""
        return self._clipped(node.input[0], self._taps(node, index))

    def _taps(self, node: NodeProto, index: IntArray) -> IntArray:
        """Places (K, terms, 4) that the windows of a pool have, outside of the map as well."""
        attributes = attributes_of(node)
        height, width = self.shapes[node.input[0]][2:]
        if node.op_type in ("GlobalAveragePool", "ReduceMean"):
            kernel, attributes = [height, width], {}
            index = np.concatenate([index[:, :2], np.zeros((len(index), 2), np.int64)], axis=1)
        else:
            kernel = list(attributes["kernel_shape"])
        stride, dilation = (list(attributes.get(key, (1, 1))) for key in ("strides", "dilations"))
        pads = list(attributes.get("pads", (0, 0, 0, 0)))
        row, column = (part.reshape(-1) for part in np.indices(tuple(kernel)))
        found = np.empty((len(index), row.size, 4), dtype=np.int64)
        found[..., :2] = index[:, None, :2]
        found[..., 2] = index[:, 2:3] * stride[0] - pads[0] + row * dilation[0]
        found[..., 3] = index[:, 3:4] * stride[1] - pads[1] + column * dilation[1]
        return found

    def _clipped(self, tensor: str, found: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        sizes = np.array(self.shapes[tensor][2:])
        inside = np.asarray(((found[..., 2:] >= 0) & (found[..., 2:] < sizes)).all(axis=-1))
        found[..., 2:] = np.clip(found[..., 2:], 0, sizes - 1)
        return found, inside

    def _max(self, node: NodeProto, index: IntArray) -> Exact:
        sources, inside = self._pooled(node, index)
        count, terms = inside.shape
        all_ = self.elements(node.input[0], sources.reshape(count * terms, 4))
        values, sizes = all_.value.reshape(count, terms), all_.size.reshape(count, terms)
        best = [
            max(v for v, here in zip(row, where, strict=True) if here)
            for row, where in zip(values, inside, strict=True)
        ]
        return Exact(np.array(best, dtype=object), sizes.max(axis=1), all_.roundings)

    def _mean(self, node: NodeProto, index: IntArray) -> Exact:
        sources, inside = self._pooled(node, index)
        count, terms = inside.shape
        all_ = self.elements(node.input[0], sources.reshape(count * terms, 4))
        # What lies in the padding is zero; it counts if the node says so.
        counted = inside
        attributes = attributes_of(node)
        if attributes.get("count_include_pad", 0):
            places = self._taps(node, index)[..., 2:]
            pads = np.array(attributes.get("pads", (0, 0, 0, 0)))
            ends = np.array(self.shapes[node.input[0]][2:]) + pads[2:]
            counted = ((places >= -pads[:2]) & (places < ends)).all(axis=-1)
        size = counted.sum(axis=1)
        divisor = np.array([Fraction(1, int(n)) for n in size], dtype=object)
        values = all_.value.reshape(count, terms).copy()
        values[~inside] = Fraction(0)
        value = exact_sums(values) * divisor
        return Exact(
            value,
            (all_.size.reshape(count, terms) * inside).sum(axis=1) / size,
            all_.roundings + terms + 1,
        )

    def _unflattened(self, source: str, index: IntArray) -> IntArray:
        shape = self.shapes[source][1:]
        places = np.unravel_index(index[:, 1], shape)
        return np.stack([index[:, 0], *places], axis=1)
