"""Nodes that read the file's input before it is codes.

operations with constants, changes of order     kept with the input (`raw_input.py`)
the quantizer                                   the graph's input: codes, and the function that
                                                gives them, as thresholds of x (`bisected`)
any other, where x is made of known integers    the graph's input is these integers; what came
                                                before is an affine map of them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto

from qdeploy.ir.input_codes import RESHAPE, TRANSPOSE, FloatArray, InputPreparation
from qdeploy.ir.input_thresholds import (
    NotMonotoneError,
    TooManyThresholdsError,
    bisected,
    plain,
    trimmed,
)
from qdeploy.ir.integer_graph import IntType, Tensor
from qdeploy.ir.rules import check_graph
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.input_type import declared_type, option
from qdeploy.lowering.canonical.passes import shape_of
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, Constant, Fractions, Value, fractions_of
from qdeploy.lowering.integers.builder import Builder, Lowered
from qdeploy.lowering.integers.codes import lower_flatten
from qdeploy.lowering.integers.input_quantizer import InputQuantizer, input_quantizer
from qdeploy.lowering.integers.quant_nodes import MAX_INPUT_BITS
from qdeploy.lowering.integers.raw_input import RawInput

QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant", "MultiThreshold")
_ORDERS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_NAME = "input"
# Why an operator cannot come before the quantizer, beyond reading more than one element.
_CURVE = "engines round it differently, so that codes near an edge are nobody's"
_TURNS = "it rises in one place and falls in another"
_REASONS: Mapping[str, str] = {
    **dict.fromkeys(("Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Erf", "Softplus"), _CURVE),
    **dict.fromkeys(("Abs", "Pow", "Sin", "Cos", "Reciprocal", "Mod"), _TURNS),
}
_MIXES = "only operations of one element and constants are done before the first codes"


class InputNodes:
    """Lowers nodes that read the input, until it is codes.

    Args:
        values: tensor of the file -> what it became; the input and what follows it are put there.
    """

    def __init__(
        self, model: ModelProto, builder: Builder, values: MutableMapping[str, Value]
    ) -> None:
        self.model, self.builder, self.values = model, builder, values
        self.preparation: InputPreparation | None = None
        item = model.graph.input[0]
        self.name = item.name
        shape = tuple(int(d.dim_value) for d in list(item.type.tensor_type.shape.dim)[1:])
        values[item.name] = RawInput(shape, declared_type(model))

    def lowered(self, node: NodeProto) -> Value | None:
        """What a node makes of the input; None where it reads codes, or nothing of the input.

        Raises:
            UnsupportedLayerError: what it does cannot be done before the input is codes.
        """
        found = {
            name: value
            for name in node.input
            if isinstance(value := self.values.get(name), RawInput)
        }
        if not found:
            return self._narrowed(node)
        name, value = next(iter(found.items()))
        if len(found) == 1 and list(node.input).count(name) == 1:
            if node.op_type in QUANTIZERS and node.input[0] == name:
                return self._quantized(node, value)
            result = self._arranged(node, value)
            result = result or self._operated(node, name, value)
            if result is not None:
                return result
        if value.raw is None:
            raise self._refused(node)
        for one, raw in found.items():
            self.values[one] = self._codes(node, raw)
        return None

    def finished(self, lowered: Lowered) -> Lowered:
        """With the input's preparation in the graph, where it is not a plain one."""
        found = self.preparation
        if found is None:
            return lowered
        usual = plain(found.scale, found.lo, found.hi, found.shape)
        if found == replace(usual, zero=found.zero):
            return lowered
        graph = replace(lowered.graph, preparation=found)
        check_graph(graph)
        return replace(lowered, graph=graph)

    # ---- kept with the input -----------------------------------------------------------------

    def _arranged(self, node: NodeProto, value: RawInput) -> RawInput | None:
        attributes = attributes_of(node)
        if node.op_type == "Transpose":
            rank = value.places.ndim + 1
            order = [int(axis) % rank for axis in attributes.get("perm", range(rank)[::-1])]
            if order[0] == 0:
                return value.arranged(TRANSPOSE, tuple(axis - 1 for axis in order[1:]))
        if node.op_type in _ORDERS:
            shape = shape_of(self.model, node.output[0])
            if len(shape) > 1 and shape[0] == 1 and np.prod(shape) == value.places.size:
                return value.arranged(RESHAPE, shape[1:])
        if node.op_type in ("Transpose", *_ORDERS):
            raise refuse(
                node,
                "it moves the axis of frames",
                why="frames come one after the other, each of one shape",
                do="keep the batch axis first, and reshape behind it",
            )
        return None

    def _operated(self, node: NodeProto, name: str, value: RawInput) -> RawInput | None:
        """The input after an operation, None where the node is none."""
        kind, place = node.op_type, list(node.input).index(name)
        if kind in ("Identity", "Dropout"):
            return value
        if kind == "Cast":
            return self._cast(node, value)
        others = [self.values.get(item) for item in node.input if item not in ("", name)]
        constants = [item.array for item in others if isinstance(item, Constant)]
        if len(constants) < len(others):
            return None
        zero, one = np.zeros(1, np.float32), np.ones(1, np.float32)
        if kind == "Neg":
            return value.then(node, "Mul", -one)
        if kind == "Relu":
            return value.then(node, "Max", zero)
        if kind == "Clip" and place == 0:
            bounds = [self.values.get(item) if item else None for item in node.input[1:]]
            for bound, limit in zip(bounds, ("Max", "Min"), strict=False):
                if isinstance(bound, Constant):
                    value = value.then(node, limit, bound.array)
            return value
        if kind in ("Min", "Max"):
            for constant in constants:
                value = value.then(node, kind, constant)
            return value
        if kind in ("Mul", "Add"):
            return value.then(node, kind, constants[0])
        if kind == "Sub":
            return value.then(node, "Sub" if place == 0 else "SubFrom", constants[0])
        if kind == "Div" and place == 0 and constants[0].all():
            return value.then(node, "Div", constants[0])
        return None

    def _cast(self, node: NodeProto, value: RawInput) -> RawInput:
        to = next(a.i for a in node.attribute if a.name == "to")
        if to == TensorProto.FLOAT16:
            return value.then(node, "Half", np.zeros(1, np.float32))
        integers = (TensorProto.INT32, TensorProto.INT64)
        if to == TensorProto.FLOAT or (to in integers and _is_whole(value)):
            return value
        known = to in TensorProto.DataType.values()
        raise refuse(
            node,
            f"it casts the input to {TensorProto.DataType.Name(to) if known else f'type {to}'}",
            why="what comes before the first codes is float32",
            do="cast to float32",
        )

    # ---- codes -------------------------------------------------------------------------------

    def _quantized(self, node: NodeProto, value: RawInput) -> AffineTensor:
        constants = {
            name: item.array
            for name in node.input
            if isinstance(item := self.values.get(name), Constant)
        }
        quantizer = input_quantizer(node, value, constants)
        found = self._preparation(node, quantizer)
        return self._made(node, found, node.output[0])

    def _preparation(self, node: NodeProto, quantizer: InputQuantizer) -> InputPreparation:
        value = quantizer.value

        def function(x: FloatArray) -> npt.NDArray[np.int64]:
            return quantizer.codes(value.values(x))

        try:
            thresholds, lo, falling = bisected(function, value.rows)
        except NotMonotoneError as error:
            raise refuse(
                node,
                "the code of the input both rises and falls with its value",
                why="it is found by comparing the value with thresholds",
                do="use operations that only rise or only fall before the quantizer",
            ) from error
        except TooManyThresholdsError as error:
            raise refuse(
                node,
                f"the codes of the input need a table of {error} thresholds",
                do="use fewer bits, or constants for each channel instead of each pixel",
            ) from error
        found = InputPreparation(
            thresholds,
            lo,
            falling,
            value.axis,
            value.shape,
            value.layout,
            quantizer.scale,
            quantizer.zero,
            value.raw,
        )
        if value.raw is None:
            return found
        low, high = int(found.table.min()), int(found.table.max())
        return replace(found, thresholds=trimmed(thresholds, lo, falling, low, high), lo=low)

    def _codes(self, node: NodeProto, value: RawInput) -> AffineTensor:
        """The raw integers as codes, under the exact map that the operations make."""
        raw = value.raw
        assert raw is not None
        lo, hi = raw.lo - raw.zero, raw.hi - raw.zero
        usual = plain(raw.scale, lo, hi, value.shape)
        found = replace(usual, layout=value.layout, zero=raw.zero, raw=raw)
        result = self._made(node, found, self.name)
        gain, offset = [raw.scale] * value.rows, [Fraction(0)] * value.rows
        for operation in value.operations:
            apply = _AFFINE.get(operation.kind)
            if apply is None:
                raise self._refused(node)
            exact = fractions_of(operation.constant)
            exact = exact if len(exact) == value.rows else exact * value.rows
            pairs = [apply(g, b, c) for g, b, c in zip(gain, offset, exact, strict=True)]
            gain, offset = [g for g, _ in pairs], [b for _, b in pairs]
        tensor = self.builder.tensors[result.tensor]
        gains, offsets = (
            _per_channel(node, value, tuple(part), tensor.shape[0]) for part in (gain, offset)
        )
        return AffineTensor(result.tensor, gains, offsets)

    def _made(self, node: NodeProto, found: InputPreparation, source: str) -> AffineTensor:
        """The graph's input, made once; a Flatten at the end of its layout becomes a node."""
        assert found.scale is not None
        flat = len(found.layout) > 0 and found.layout[-1][0] == RESHAPE
        inner = replace(found, layout=found.layout[:-1]) if flat else found
        flat = flat and len(found.code_shape) == 1 and len(inner.code_shape) == 3
        found = inner if flat else found
        if len(found.code_shape) not in (1, 3):
            raise refuse(
                node,
                f"the input is quantized as frames of {found.code_shape}",
                why="frames are maps (channels, height, width) or vectors",
                do="reshape the input before its quantizer",
            )
        if self.preparation is None:
            dtype = IntType.holding(found.lo, found.hi)
            if dtype.bits > MAX_INPUT_BITS or found.lo == found.hi:
                raise refuse(
                    node,
                    f"the codes of the input go from {found.lo} to {found.hi}",
                    why=f"input codes differ, and have at most {MAX_INPUT_BITS} bits",
                    do="use another scale or zero point",
                )
            self.preparation = found
            tensor = Tensor(_NAME, found.code_shape, dtype, found.lo, found.hi, found.scale)
            self.builder.add_tensor(tensor, source)
        elif self.preparation != found:
            raise refuse(
                node,
                "the input is quantized in more than one way",
                why="a design has one stream of frames, which carries one code for each element",
                do="use one input quantizer, and quantize again behind it",
            )
        result = AffineTensor(_NAME, (found.scale or Fraction(1),))
        return lower_flatten(self.builder, node, result) if flat else result

    def _narrowed(self, node: NodeProto) -> AffineTensor | None:
        """The input after a Clip of its codes, which has the quantizer's only result: fewer codes.

        Quantizers that round before they add their zero point are written in this way.
        """
        value, found = self.values.get(node.input[0]) if node.input else None, self.preparation
        if node.op_type != "Clip" or found is None or not isinstance(value, AffineTensor):
            return None
        readers = [n for n in self.model.graph.node if node.input[0] in n.input]
        alone = len(readers) == 1 and not self.builder.is_read(_NAME)
        scale = found.scale
        if not alone or value != AffineTensor(_NAME, value.gain) or scale is None:
            return None
        limits = [found.lo, found.hi]
        for place, name in enumerate(node.input[1:3]):
            if not name:
                continue
            bound = self.values.get(name)
            if not isinstance(bound, Constant) or bound.array.size != 1:
                return None
            code = round(Fraction(float(bound.array.reshape(-1)[0])) / scale)
            if np.float32(float(scale * code)) != bound.array.reshape(-1)[0]:
                return None
            limits[place] = max(code, found.lo) if place == 0 else min(code, found.hi)
        low, high = limits
        if low >= high:
            return None
        table = trimmed(found.thresholds, found.lo, found.falling, low, high)
        self.preparation = replace(found, thresholds=table, lo=low)
        self.builder.tensors[_NAME] = replace(
            self.builder.tensors[_NAME], lo=low, hi=high, dtype=IntType.holding(low, high)
        )
        self.builder.sources[_NAME] = node.output[0]
        return value

    def _refused(self, node: NodeProto) -> Exception:
        return refuse(
            node,
            "it reads the network's input before it is quantized",
            why=_REASONS.get(node.op_type, _MIXES),
            do=f"put a quantizer (QuantIdentity) before it, or {option()}",
        )


def _is_whole(value: RawInput) -> bool:
    raw = value.raw
    return raw is not None and not value.operations and raw.scale == 1


def _per_channel(node: NodeProto, value: RawInput, entries: Fractions, channels: int) -> Fractions:
    """Entries for the places along the frame's axis, as entries for the channels of the codes."""
    if len(set(entries)) == 1:
        return entries[:1]
    assert value.axis is not None
    shape = [1] * len(value.shape)
    shape[value.axis] = -1
    where = np.broadcast_to(np.arange(len(entries)).reshape(shape), value.shape).reshape(-1)
    rows = where[value.places].reshape(channels, -1)
    if (rows != rows[:, :1]).any():
        raise refuse(
            node,
            "constants before the first layer differ within a channel",
            why="thresholds are per channel",
            do="use one constant for the frame or one for each channel",
        )
    return tuple(entries[int(row)] for row in rows[:, 0])


_AFFINE: Mapping[str, Callable[[Any, Any, Any], tuple[Fraction, Fraction]]] = {
    "Mul": lambda g, b, c: (g * c, b * c),
    "Div": lambda g, b, c: (g / c, b / c),
    "Add": lambda g, b, c: (g, b + c),
    "Sub": lambda g, b, c: (g, b - c),
    "SubFrom": lambda g, b, c: (-g, c - b),
}
