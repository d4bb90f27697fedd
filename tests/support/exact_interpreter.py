"""What a QONNX or QCDQ file says of a frame, in exact arithmetic: shares no code with the lowering.

The contract, which is the one the integer graph is held to:

    up to the first quantizer    float32, operator by operator, as the file's engine computes
    constants                    as stored; a quantizer of constants works in float32
    batch norm                   s = gamma / sqrt(var + eps) and beta - mean·s in float64, each
                                 rounded once to float32; what is made of them is exact
    all else                     exact fractions: sums, products, quotients, averages, the step a
                                 value lies in, the rounding of a tie
    Sigmoid, Tanh                60 decimal digits, exact at 0
    Softmax, ArgMax and the like at the end are left out: the result is the logits
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from exact_numbers import Exact, NotInterpretedError, on_one_grid
from exact_rules import RULES
from exact_values import Tensor, moved, plain
from onnx import ModelProto, NodeProto, helper, numpy_helper

_HEADS = ("Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK")
_BETWEEN = ("Identity", "Cast", "QuantizeLinear", "DequantizeLinear", "Clip")


def logits_of_output(makers: Mapping[str, NodeProto], output: str) -> str:
    """The tensor before the last classes or probabilities, and their codes; or the output."""
    logits = name = output
    while name in makers and makers[name].op_type in (*_HEADS, *_BETWEEN):
        is_head = makers[name].op_type in _HEADS
        name = makers[name].input[0]
        logits = name if is_head else logits
    return logits


def exact_logits(path: Path, frames: np.ndarray, output: str | None = None) -> Exact:
    """The logits of a file for float32 frames (N, *shape in the file), each run on its own.

    Args:
        output: the tensor that is wanted, instead of the file's first output.

    Raises:
        NotInterpretedError: there is no rule for an operator.
    """
    model = onnx.load(path)
    found = [_Run(model, frame[None]).result(output) for frame in frames.astype(np.float32)]
    parts = [value if isinstance(value, Exact) else Exact.of(value) for value in found]
    whole = parts[0].numerators, parts[0].denominator
    for part in parts[1:]:
        mine, theirs, common = on_one_grid(Exact(*whole), part)
        whole = np.concatenate([mine, theirs]), common
    return Exact(*whole)


class _Run:
    """One frame through the file; tensors are made when they are asked for."""

    def __init__(self, model: ModelProto, frame: np.ndarray) -> None:
        self.model = model
        self.makers = {name: node for node in model.graph.node for name in node.output if name}
        self.found: dict[str, Tensor] = {
            item.name: plain(numpy_helper.to_array(item)) for item in model.graph.initializer
        }
        source = next(item for item in model.graph.input if item.name not in self.found)
        dims = [d.dim_value for d in source.type.tensor_type.shape.dim]
        self.batch = dims[0] if dims and dims[0] > 0 else 1
        self.found[source.name] = np.repeat(frame, self.batch, axis=0)

    def result(self, output: str | None) -> Tensor:
        name = output or logits_of_output(self.makers, self.model.graph.output[0].name)
        waiting = [name]
        while waiting:
            if waiting[-1] in self.found:
                waiting.pop()
                continue
            node = self.makers.get(waiting[-1])
            if node is None:
                raise NotInterpretedError(f"nothing makes {waiting[-1]}")
            missing = [item for item in node.input if item and item not in self.found]
            if missing:
                waiting += missing
                continue
            self._evaluate(node)
        value = self.found[name]
        shape = value.shape
        if self.batch > 1 and shape and shape[0] == self.batch:
            value = moved(value, lambda array: array[:1])
        return value

    def _evaluate(self, node: NodeProto) -> None:
        operands = [self.found[item] if item else None for item in node.input]
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        rule = RULES.get(node.op_type)
        if rule is None:
            raise NotInterpretedError(f"no rule for {node.op_type}")
        result = rule(operands, attributes)
        for name, value in zip(
            node.output, result if isinstance(result, list) else [result], strict=False
        ):
            if name:
                self.found[name] = value
