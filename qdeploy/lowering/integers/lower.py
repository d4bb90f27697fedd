"""From a QONNX file to the integer graph, by abstract interpretation.

Every tensor of the file is followed as value = gain·n + offset with integers n and exact fractions
(`affine.py`). Convolutions and matrix products multiply gains, constants change gain and offset,
sums of branches and averages add integers (`join.py`), and a quantizer turns the whole map
into integer thresholds (`thresholds.py`). A tensor of the file may be read by several nodes: each
goes on from the same integers. The end is `logits.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.lowering.canonical.import_qonnx import canonical, notes_of
from qdeploy.lowering.canonical.passes import shape_of
from qdeploy.lowering.canonical.refusal import ACCEPTED, refuse, refuse_operator
from qdeploy.lowering.integers.affine import (
    AffineTensor,
    Constant,
    QuantizedConstant,
    Value,
    fractions_of,
)
from qdeploy.lowering.integers.builder import Builder, Lowered
from qdeploy.lowering.integers.codes import lower_flatten, lower_max_pool, lower_threshold
from qdeploy.lowering.integers.input_nodes import InputNodes
from qdeploy.lowering.integers.join import AVERAGES, lower_add, lower_average
from qdeploy.lowering.integers.linear import lower_conv, lower_matmul
from qdeploy.lowering.integers.logits import lower_argmax, lower_logits
from qdeploy.lowering.integers.quant_nodes import (
    MAX_BITS,
    quant_parameters,
    quantize_constant,
)
from qdeploy.lowering.integers.thresholds import Quantizer


def lower(path: Path, *, argmax: bool = False) -> IntegerGraph:
    """The integer graph of a QONNX file.

    Args:
        path: the file.
        argmax: end in the index of the largest logit instead of the logits.

    Raises:
        UnsupportedLayerError: a layer, or the way layers are joined, cannot become hardware.
    """
    return lower_with_affine(path, argmax=argmax).graph


def lower_with_affine(path: Path, *, argmax: bool = False) -> Lowered:
    """As `lower`, with the exact maps that the thresholds come from and the names in the file."""
    return lower_model(canonical(path), argmax=argmax, name=path.name.split(".")[0])


def lower_model(model: ModelProto, *, argmax: bool = False, name: str = "network") -> Lowered:
    """As `lower_with_affine`, from a model in canonical form."""
    return _Lowering(model).run(argmax, name)


class _Lowering:
    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.builder = Builder(notes=notes_of(model))
        self.values: dict[str, Value] = {
            i.name: Constant(numpy_helper.to_array(i)) for i in model.graph.initializer
        }
        self.input = InputNodes(model, self.builder, self.values)
        self.handlers: Mapping[str, Callable[[NodeProto], Value]] = {
            "Quant": self._quant,
            "IntQuant": self._quant,
            "BipolarQuant": self._quant,
            "Conv": lambda n: lower_conv(self.builder, n, *self._operands(n)),
            "MatMul": lambda n: lower_matmul(self.builder, n, *self._operands(n)),
            "Mul": self._scale,
            "Div": self._scale,
            "Add": self._add,
            "Sub": self._shift,
            "Relu": self._relu,
            "MaxPool": lambda n: lower_max_pool(self.builder, n, self._activation(n)),
            "Flatten": self._flatten,
            "Transpose": self._transpose,
            **dict.fromkeys(AVERAGES, self._average),
        }

    def run(self, argmax: bool, name: str) -> Lowered:
        """Follow every node of the file and finish the graph."""
        last = None
        for node in self.model.graph.node:
            value = self.input.lowered(node)
            if value is None:
                handler = self.handlers.get(node.op_type)
                if handler is None:
                    raise refuse_operator(node)
                value = handler(node)
            self.values[node.output[0]] = value
            if node.output[0] == self.model.graph.output[0].name:
                last = node
        result = self.values.get(self.model.graph.output[0].name)
        if last is None or not isinstance(result, AffineTensor):
            raise UnsupportedLayerError(
                "the file's output is not computed from its quantized input",
                where=f"output `{self.model.graph.output[0].name}`",
                expected="input -> quantizer -> layers -> output",
                why="an output that does not depend on the frame needs no hardware",
                do=f"build the network from {ACCEPTED}",
            )
        source = self.model.graph.output[0].name
        head, output = lower_logits(self.builder, last, result, source), "logits"
        if argmax:
            output, head = lower_argmax(self.builder, last, head, source)
        return self.input.finished(self.builder.finish(name, output, head))

    def _operands(self, node: NodeProto) -> list[Value]:
        return [self.values[item] for item in node.input if item]

    def _activation(self, node: NodeProto) -> AffineTensor:
        """The node's one activation; the rest of its inputs are constants."""
        operands = self._operands(node)
        found = [item for item in operands if isinstance(item, AffineTensor)]
        if len(found) != 1:
            raise refuse(
                node,
                f"a {node.op_type} of {len(found)} branches",
                why="branches can only be joined by addition",
                do="replace gates and products of branches by residual sums",
            )
        return found[0]

    def _quant(self, node: NodeProto) -> Value:
        value = self.values[node.input[0]]
        if isinstance(value, Constant):
            return quantize_constant(node, self.values, value)
        if not isinstance(value, AffineTensor):
            value = self._activation(node)
        if node.op_type == "BipolarQuant":
            raise refuse(
                node,
                "its activations are -1 and +1",
                why="none of their codes means 0, which padding and sums rely on",
                do="use one-bit activations after a ReLU (0 and 1), or signed ones of two bits",
            )
        found = quant_parameters(node, self.values, MAX_BITS)
        if found.scale.size != 1:
            raise refuse(
                node,
                "its activation quantizer has one scale per channel",
                why="the sums that follow run over channels",
                do="use one scale for the layer's activations",
            )
        scale = fractions_of(found.scale)[0]
        lo = max(found.lo, 0) if value.rectified else found.lo
        return lower_threshold(
            self.builder, node, value, Quantizer(scale, lo, found.hi), found.dtype
        )

    def _constants(self, node: NodeProto, value: AffineTensor) -> tuple[Fraction, ...]:
        """The constant operand, exact, one entry or one per channel."""
        operand = next(o for o in self._operands(node) if not isinstance(o, AffineTensor))
        if isinstance(operand, QuantizedConstant):
            array = np.broadcast_to(operand.scale, operand.codes.shape)
            exact = tuple(
                Fraction(float(s)) * int(c)
                for s, c in zip(array.reshape(-1), operand.codes.reshape(-1), strict=True)
            )
            shape = operand.codes.shape
        else:
            assert isinstance(operand, Constant)
            if not np.isfinite(operand.array).all():
                raise refuse(node, "its constants are not finite", do="train the network again")
            exact, shape = fractions_of(operand.array), operand.array.shape
        tensor = self.builder.tensors[value.tensor]
        # A map averaged to one pixel has two more axes in the file than in the integer graph.
        rank = len(shape_of(self.model, node.output[0])) or len(tensor.shape) + 1
        padded = (1,) * (rank - len(shape)) + tuple(shape)
        if len(padded) != rank or any(
            d != 1 and (axis != 1 or d != tensor.shape[0]) for axis, d in enumerate(padded)
        ):
            raise refuse(
                node,
                f"a constant of shape {tuple(shape)} on a tensor of shape {tensor.shape}",
                why="thresholds are per channel",
                do="use one constant for the tensor or one for each channel",
            )
        return exact

    def _scale(self, node: NodeProto) -> AffineTensor:
        value = self._activation(node)
        factor = self._constants(node, value)
        if node.op_type == "Div":
            if isinstance(self.values[node.input[1]], AffineTensor) or not all(factor):
                raise refuse(node, "a division by an activation or by zero", do="multiply instead")
            factor = tuple(1 / f for f in factor)
        if value.rectified and any(f < 0 for f in factor):
            raise refuse(node, "a negative factor after a ReLU", do="quantize after the ReLU first")
        return value.times(factor)

    def _add(self, node: NodeProto) -> AffineTensor:
        operands = self._operands(node)
        branches = [item for item in operands if isinstance(item, AffineTensor)]
        if len(branches) != 2:
            return self._shift(node)
        shapes = [shape_of(self.model, name) for name in node.input]
        if all(shapes) and len(shapes[0]) != len(shapes[1]):
            raise refuse(
                node,
                f"its two inputs have different shapes ({shapes[0]} and {shapes[1]})",
                do="flatten both branches, or neither",
            )
        return lower_add(self.builder, node, *branches)

    def _average(self, node: NodeProto) -> AffineTensor:
        value = self._activation(node)
        axes = [item.array for item in self._operands(node) if isinstance(item, Constant)]
        given = [int(axis) for axis in axes[0].reshape(-1)] if axes else None
        return lower_average(self.builder, node, value, given)

    def _shift(self, node: NodeProto) -> AffineTensor:
        value = self._activation(node)
        term = self._constants(node, value)
        if value.rectified and any(term):
            raise refuse(
                node,
                "a bias after a ReLU",
                why="a quantizer has to follow the ReLU",
                do="use QuantReLU",
            )
        if node.op_type == "Sub":
            if isinstance(self.values[node.input[1]], AffineTensor):
                return value.times((Fraction(-1),)).plus(term)
            term = tuple(-t for t in term)
        return value.plus(term)

    def _relu(self, node: NodeProto) -> AffineTensor:
        value = self._activation(node)
        source = self.builder.tensors[value.tensor]
        codes = not self.builder.is_accumulator(value.tensor)
        if codes and source.lo >= 0 and min(value.gain) >= 0 and min(value.offset) >= 0:
            return value
        return AffineTensor(value.tensor, value.gain, value.offset, rectified=True)

    def _flatten(self, node: NodeProto) -> Value:
        axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 1)
        if axis != 1:
            raise refuse(node, f"a Flatten at axis {axis}", do="use torch.nn.Flatten()")
        return lower_flatten(self.builder, node, self._activation(node))

    def _transpose(self, node: NodeProto) -> Value:
        value = self.values[node.input[0]]
        if isinstance(value, QuantizedConstant):
            axes = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
            return value.transposed(axes)
        raise refuse(
            node,
            "an activation is transposed",
            why="feature maps stream in one fixed order",
            do="keep activations as (N, C, H, W) or (N, features)",
        )
