"""The integer graph as one file of standard ONNX operators with integer inputs and outputs.

Codes are float32 between the operators, because float convolutions are several times faster
than ConvInteger. Nothing is rounded on the way:

    sums      every partial sum of a layer stays below 2^24 in magnitude, proved from its weights
              and its input's interval; a larger layer is split by bits, W = W_0 + 2^k·W_1, into
              layers that stay below, and the parts are added in float64; sums of pixels and of
              branches beyond 2^24, and what reads them, are float64 throughout
    codes     the threshold table folded into the layer, or a line, or comparisons, each proved
              equal to the table (`float_codes.py`)

so the result does not depend on the order of summation or on the optimization level of the runtime.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from qdeploy.artifacts import atomic_path
from qdeploy.codegen.onnx.enlarge import emit_enlarged
from qdeploy.codegen.onnx.float_codes import (
    EXACT_FLOAT32,
    FOLD_LEVELS,
    Fold,
    Line,
    fit_fold,
    fit_line,
    split_by_bits,
    split_parity,
)
from qdeploy.codegen.onnx.search import emit_search
from qdeploy.errors import InternalError
from qdeploy.ir.integer_graph import (
    Add,
    ArgMax,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthToSpace,
    Dilate,
    Flatten,
    GlobalSum,
    IntArray,
    IntegerGraph,
    MaxPool,
    Node,
    Tensor,
    Threshold,
    Upsample,
)
from qdeploy.ir.intervals import magnitude, node_intervals

OPSET = 17
IR_VERSION = 10
COMPARE_LEVELS = 3
# Most bits of the input's codes -> its type: unsigned, signed.
_INPUTS = (
    (8, (TensorProto.UINT8, TensorProto.INT8)),
    (16, (TensorProto.UINT16, TensorProto.INT16)),
)
# More comparisons than this take longer than a search.
SEARCH_LEVELS = 31
# Name of the output with the logits as numbers.
VALUES = "logits.value"


def emit_onnx(graph: IntegerGraph, path: Path, *, taps: bool = False) -> None:
    """Write the integer graph as one ONNX file, atomically.

    The input is uint8, int8, uint16 or int16 (N, *shape); the output int32 logits or int64 class;
    with `taps` every boundary is an int32 output under its own name. Where the logits have no
    single scale, a second output `VALUES` has the network's own numbers in float64.
    """
    model = integer_model(graph, taps=taps)
    onnx.checker.check_model(model)
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)


def integer_model(graph: IntegerGraph, *, taps: bool = False) -> ModelProto:
    """As `emit_onnx`, in memory."""
    return _Emitter(graph).model(taps)


@dataclass
class _Emitter:
    graph: IntegerGraph
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = field(
        default_factory=dict
    )
    onnx_value_of: dict[str, str] = field(default_factory=dict)
    wide: set[str] = field(default_factory=set)

    def model(self, taps: bool) -> ModelProto:
        """The whole model."""
        graph = self.graph
        source = graph.tensors[graph.input]
        kind = next((kind for bits, kind in _INPUTS if source.dtype.bits <= bits), None)
        if kind is None:
            raise InternalError("the input's codes do not fit 16 bits")
        self.onnx_value_of[graph.input] = self.op("Cast", graph.input, to=TensorProto.FLOAT)
        done: set[str] = set()
        for node in graph.nodes:
            if node.name in done:
                continue
            user = self._folded_user(node)
            if user is not None and isinstance(node, Conv | Dense):
                fold = self._fold(node, user)
                if fold is not None:
                    self._emit_folded(node, user, fold)
                    done.add(user.name)
                    continue
            self._emit(node)
        wanted = graph.boundaries() if taps else [graph.output]
        outputs = [self._output(graph.tensors[name]) for name in wanted]
        if not taps and graph.logits == graph.output and graph.head.scale is None:
            outputs.append(self._values(graph.tensors[graph.output]))
        inputs = [
            helper.make_tensor_value_info(
                graph.input, kind[source.dtype.signed], ["N", *source.shape]
            )
        ]
        body = helper.make_graph(
            self.nodes, graph.name, inputs, outputs, list(self.constants.values())
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            body, opset_imports=opset, ir_version=IR_VERSION, producer_name="qdeploy"
        )

    def op(self, kind: str, *inputs: Any, output: str | None = None, **attributes: Any) -> str:
        """Add a node; arrays among the inputs become constants. Returns the output's name."""
        output = output or f"t{len(self.nodes)}"
        names = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        self.nodes.append(
            helper.make_node(kind, names, [output], f"n{len(self.nodes)}", **attributes)
        )
        return output

    def constant(self, array: npt.NDArray[Any]) -> str:
        """The name of a constant; equal constants are stored once."""
        array = np.ascontiguousarray(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"c{len(self.constants)}")
        return str(self.constants[key].name)

    def _output(self, tensor: Tensor) -> onnx.ValueInfoProto:
        producer = self.graph.producer(tensor.name)
        kind = TensorProto.INT64 if isinstance(producer, ArgMax) else TensorProto.INT32
        self.op("Cast", self.onnx_value_of[tensor.name], output=tensor.name, to=kind)
        return helper.make_tensor_value_info(tensor.name, kind, ["N", *tensor.shape])

    def _values(self, tensor: Tensor) -> onnx.ValueInfoProto:
        """The network's own logits, gain · integer + offset in float64, as a second output."""
        shape = [-1, *([1] * (len(tensor.shape) - 1))]
        gain, offset = (
            np.array([float(value) for value in values]).reshape(shape)
            for values in (self.graph.head.gain, self.graph.head.offset)
        )
        integers = self.op("Cast", tensor.name, to=TensorProto.DOUBLE)
        self.op("Add", self.op("Mul", integers, gain), offset, output=VALUES)
        return helper.make_tensor_value_info(VALUES, TensorProto.DOUBLE, ["N", *tensor.shape])

    def _folded_user(self, node: Node) -> Threshold | None:
        users = self.graph.consumers(node.output)
        if len(users) == 1 and isinstance(users[0], Threshold) and node.output != self.graph.output:
            return users[0]
        return None

    def _sums(self, node: Conv | Dense) -> IntArray:
        source = self.graph.tensors[node.inputs[0]]
        return np.array(magnitude(node.weights, source.lo, source.hi), dtype=np.int64)

    def _fold(self, node: Conv | Dense, user: Threshold) -> Fold | None:
        lo, hi = self._intervals(node.output)
        return fit_fold(user.thresholds, lo, hi, self._sums(node), user.base)

    def _intervals(self, name: str) -> tuple[IntArray, IntArray]:
        node, tensor = self.graph.producer(name), self.graph.tensors[name]
        if isinstance(node, Conv | Dense):
            source = self.graph.tensors[node.inputs[0]]
            found = node_intervals(node, source)
            return np.array(found.lo, dtype=np.int64), np.array(found.hi, dtype=np.int64)
        channels = tensor.shape[0]
        return np.full(channels, tensor.lo), np.full(channels, tensor.hi)

    def _emit_folded(self, node: Conv | Dense, user: Threshold, fold: Fold) -> None:
        scale = fold.multiplier / 2.0**fold.shift
        weights = node.weights * scale.reshape(-1, *([1] * (node.weights.ndim - 1)))
        value = self._product(node, weights, fold.bias / 2.0**fold.shift)
        self.onnx_value_of[user.output] = self._clipped(value, user)

    def _product(
        self, node: Conv | Dense, weights: npt.NDArray[Any], bias: npt.NDArray[Any] | None
    ) -> str:
        """Float32 convolution or matrix product with optional bias."""
        extra = [] if bias is None else [bias.astype(np.float32)]
        source = self._float32(node.inputs[0])
        if isinstance(node, Conv):
            return self.op(
                "Conv",
                source,
                weights.astype(np.float32),
                *extra,
                strides=node.stride,
                pads=node.pads,
                dilations=node.dilation,
                group=node.groups,
                kernel_shape=node.weights.shape[2:],
            )
        columns = weights.T.astype(np.float32)
        if extra:
            return self.op("Gemm", source, columns, *extra)
        return self.op("MatMul", source, columns)

    def _emit(self, node: Node) -> None:
        source = self.onnx_value_of[node.inputs[0]]
        if isinstance(node, Conv | Dense):
            result = self._exact_sum(node)
        elif isinstance(node, Bias):
            wide = self.op("Cast", source, to=TensorProto.DOUBLE)
            rank = len(self.graph.tensors[node.output].shape)
            bias = node.bias.astype(np.float64).reshape(-1, *([1] * (rank - 1)))
            result = self.op("Add", wide, bias)
            self.wide.add(node.output)
        elif isinstance(node, Threshold):
            result = self._threshold(node)
        elif isinstance(node, Add):
            result = self._add(node)
        elif isinstance(node, GlobalSum):
            result = self._global_sum(node)
        elif isinstance(node, MaxPool | Flatten):
            result = self._moved(node)
        elif isinstance(node, Concat):
            result = self._concat(node)
        elif isinstance(node, Upsample | Dilate | DepthToSpace):
            result = self._enlarged(node)
        elif isinstance(node, ArgMax):
            integers = self.op("Cast", source, to=TensorProto.INT32)
            result = self.op("ArgMax", integers, axis=1, keepdims=1, select_last_index=0)
        else:
            raise InternalError(f"no ONNX form for {type(node).__name__} ({node.name})")
        self.onnx_value_of[node.output] = result

    def _float32(self, name: str) -> str:
        """The ONNX value of a tensor that float32 holds."""
        if name not in self.wide:
            return self.onnx_value_of[name]
        if _largest(self.graph.tensors[name]) >= EXACT_FLOAT32:
            raise InternalError(f"{name} does not fit float32")
        return self.op("Cast", self.onnx_value_of[name], to=TensorProto.FLOAT)

    def _float64(self, name: str) -> str:
        return self.op("Cast", self.onnx_value_of[name], to=TensorProto.DOUBLE)

    def _add(self, node: Add) -> str:
        tensors = (*node.inputs, node.output)
        if max(_largest(self.graph.tensors[name]) for name in tensors) < EXACT_FLOAT32:
            return self.op("Add", *(self._float32(name) for name in node.inputs))
        self.wide.add(node.output)
        return self.op("Add", *(self._float64(name) for name in node.inputs))

    def _global_sum(self, node: GlobalSum) -> str:
        source = self.graph.tensors[node.inputs[0]]
        pixels = source.size // source.shape[0]
        axes = np.array([2, 3], dtype=np.int64)
        # Every partial sum of a channel has at most `pixels` terms.
        if _largest(source) * pixels < EXACT_FLOAT32:
            return self.op("ReduceSum", self._float32(node.inputs[0]), axes, keepdims=0)
        self.wide.add(node.output)
        return self.op("ReduceSum", self._float64(node.inputs[0]), axes, keepdims=0)

    def _moved(self, node: MaxPool | Flatten) -> str:
        source = self.onnx_value_of[node.inputs[0]]
        if node.inputs[0] in self.wide:
            self.wide.add(node.output)
        if isinstance(node, Flatten):
            return self.op("Flatten", source, axis=1)
        return self.op(
            "MaxPool", source, kernel_shape=node.kernel, strides=node.stride, pads=node.pads
        )

    def _concat(self, node: Concat) -> str:
        if not any(name in self.wide for name in node.inputs):
            return self.op("Concat", *(self.onnx_value_of[name] for name in node.inputs), axis=1)
        self.wide.add(node.output)
        return self.op("Concat", *(self._float64(name) for name in node.inputs), axis=1)

    def _enlarged(self, node: Upsample | Dilate | DepthToSpace) -> str:
        source, wide = self.onnx_value_of[node.inputs[0]], node.inputs[0] in self.wide
        if wide:
            self.wide.add(node.output)
        kind = np.dtype(np.float64 if wide else np.float32)
        return emit_enlarged(self.op, source, node, self.graph.tensors[node.inputs[0]].shape, kind)

    def _exact_sum(self, node: Conv | Dense) -> str:
        source = self.graph.tensors[node.inputs[0]]
        parts = split_by_bits(node.weights, source.lo, source.hi)
        if isinstance(node, Dense) and not parts:
            self.wide.add(node.output)
            return self.op("MatMul", self._float64(node.inputs[0]), node.weights.T.astype(float))
        if not parts:
            raise InternalError(f"{node.name} has too many inputs for exact float32 sums")
        if len(parts) == 1:
            return self._product(node, node.weights, None)
        self.wide.add(node.output)
        terms = []
        for factor, weights in parts:
            product = self._product(node, weights, None)
            wide = self.op("Cast", product, to=TensorProto.DOUBLE)
            terms.append(self.op("Mul", wide, np.float64(factor)))
        return self._sum(terms, 0)

    def _threshold(self, node: Threshold) -> str:
        table = node.thresholds
        lo, hi = self._intervals(node.inputs[0])
        rank = len(self.graph.tensors[node.inputs[0]].shape)
        source = self.onnx_value_of[node.inputs[0]]
        fold = self._fold_elementwise(node, lo, hi)
        if fold is not None:
            return self._folded(source, node, fold, rank)
        if COMPARE_LEVELS < table.shape[1] <= FOLD_LEVELS:
            tables = [table], list(split_parity(table))
            for choice in tables:
                lines = [fit_line(part, lo, hi) for part in choice]
                found = [line for line in lines if line is not None]
                if len(found) == len(choice):
                    wide = self.op("Cast", source, to=TensorProto.DOUBLE)
                    return self._sum([self._line(wide, line, rank) for line in found], node.base)
        if table.shape[1] > SEARCH_LEVELS:
            return self._sum([emit_search(self.op, source, table, rank)], node.base)
        kind = np.float64 if node.inputs[0] in self.wide else np.float32
        counts = []
        for column in table.T:
            edge = column.astype(kind).reshape(-1, *([1] * (rank - 1)))
            reached = self.op("GreaterOrEqual", source, edge)
            counts.append(self.op("Cast", reached, to=TensorProto.FLOAT))
        return self._sum(counts, node.base)

    def _fold_elementwise(self, node: Threshold, lo: IntArray, hi: IntArray) -> Fold | None:
        if node.inputs[0] in self.wide:
            return None
        producer = self.graph.producer(node.inputs[0])
        # The runtime may move the factor into the weights of the preceding layer.
        sums = np.maximum(np.abs(lo), np.abs(hi))
        if isinstance(producer, Conv | Dense):
            sums = self._sums(producer)
        return fit_fold(node.thresholds, lo, hi, sums, node.base)

    def _folded(self, source: str, node: Threshold, fold: Fold, rank: int) -> str:
        shape = (-1, *([1] * (rank - 1)))
        scale = (fold.multiplier / 2.0**fold.shift).astype(np.float32).reshape(shape)
        bias = (fold.bias / 2.0**fold.shift).astype(np.float32).reshape(shape)
        value = self.op("Add", self.op("Mul", source, scale), bias)
        return self._clipped(value, node)

    def _clipped(self, value: str, node: Threshold) -> str:
        top = node.base + node.thresholds.shape[1]
        value = self.op("Clip", value, np.float32(node.base), np.float32(top + 0.5))
        return self.op("Floor", value)

    def _line(self, wide: str, line: Line, rank: int) -> str:
        shape = (-1, *([1] * (rank - 1)))
        value = self.op("Mul", wide, line.slope.reshape(shape))
        value = self.op("Add", value, line.bias.reshape(shape))
        value = self.op("Floor", value)
        value = self.op("Clip", value, np.float64(0), np.float64(line.levels))
        return self.op("Cast", value, to=TensorProto.FLOAT)

    def _sum(self, parts: list[str], base: int) -> str:
        total = parts[0]
        for part in parts[1:]:
            total = self.op("Add", total, part)
        return self.op("Add", total, np.float32(base)) if base else total


def _largest(tensor: Tensor) -> int:
    return max(abs(tensor.lo), abs(tensor.hi))
