"""From a QONNX file to the integer graph, by abstract interpretation.

Every tensor of the file is followed as value = gain·n + offset with integers n and exact fractions
(`affine.py`). Convolutions and matrix products multiply gains, constants change gain and offset,
sums of branches and averages add integers (`join.py`), and a quantizer turns the whole map
into integer thresholds (`thresholds.py`). A tensor of the file may be read by several nodes: each
goes on from the same integers. The end is `logits.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from onnx import ModelProto, NodeProto

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.lowering.canonical.import_qonnx import canonical, notes_of
from qdeploy.lowering.canonical.outputs import parts_of
from qdeploy.lowering.canonical.refusal import ACCEPTED, refuse, refuse_operator
from qdeploy.lowering.integers.affine import (
    AffineTensor,
    Constant,
    Value,
)
from qdeploy.lowering.integers.builder import Builder, Lowered
from qdeploy.lowering.integers.chains import join_thresholds
from qdeploy.lowering.integers.codes import lower_flatten, settled
from qdeploy.lowering.integers.context import Context
from qdeploy.lowering.integers.handlers import HANDLERS
from qdeploy.lowering.integers.input_nodes import InputNodes
from qdeploy.lowering.integers.logits import lower_argmax, lower_logits
from qdeploy.lowering.integers.quant_nodes import MAX_BITS, quant_parameters, quantize_constant
from qdeploy.lowering.integers.quantize import lower_quantizer
from qdeploy.lowering.integers.wide_sums import check_reader, narrow_sums


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
        self.context = Context(model, Builder(notes=notes_of(model)))
        self.builder, self.values = self.context.builder, self.context.values
        self.input = InputNodes(model, self.builder, self.values)
        self.handlers: Mapping[str, Callable[[NodeProto], Value]] = {
            **dict.fromkeys(("Quant", "IntQuant", "BipolarQuant"), self._quant),
            **{kind: partial(handler, self.context) for kind, handler in HANDLERS.items()},
            "Flatten": self._flatten,
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
                for name in node.input:
                    operand = self.values.get(name)
                    if isinstance(operand, AffineTensor):
                        check_reader(self.builder, node, operand.tensor)
                        self.context.check_places(node, name, operand)
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
        if result.steps:
            result = settled(self.builder, last, result, sums=True)
        narrow_sums(self.builder, result.tensor)
        head, output = lower_logits(self.builder, last, result, source), "logits"
        channels = self.builder.tensors["logits"].shape[0]
        head = replace(head, parts=parts_of(self.model, channels))
        if argmax:
            output, head = lower_argmax(self.builder, last, head, source)
        join_thresholds(self.builder, output)
        finished = self.builder.finish(name, output, head, self.values)
        return self.input.finished(finished)

    def _quant(self, node: NodeProto) -> Value:
        value = self.context.value(node.input[0])
        if isinstance(value, Constant):
            return quantize_constant(node, self.values, value)
        if not isinstance(value, AffineTensor):
            value = self.context.activation(node)
        found = quant_parameters(node, self.values, MAX_BITS)
        for array in (found.scale, found.zero):
            self.context.check_per_channel(node, array.shape, value)
        padded = self.context.is_padded(node)
        return lower_quantizer(self.builder, node, value, found, padded=padded)

    def _flatten(self, node: NodeProto) -> Value:
        axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 1)
        if axis != 1:
            raise refuse(node, f"a Flatten at axis {axis}", do="use torch.nn.Flatten()")
        return lower_flatten(self.builder, node, self.context.activation(node))
