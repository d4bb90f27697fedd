"""The integer graph in FINN's dialect of ONNX: Conv, MatMul, MultiThreshold, MaxPool, TopK.

Only integers go in: weights and thresholds are the integer graph's own, annotated with FINN data
types, so that no FINN pass ever rounds anything. The graph's input is the stream's order (height,
width, channels); a Transpose after it gives the (channels, height, width) that ONNX convolutions
expect, and FINN's own passes cancel it. A network that flattens its input at once takes a vector in
stream order, with the columns of its first weights permuted to match.

Node and tensor names are the integer graph's; the initializers are `<node>.weights`,
`<node>.thresholds` and `<node>.bias`, which is how later passes find the layer again.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.dataflow.finn.layers import FinnLayer, concatenation, enlargement
from qdeploy.dataflow.finn.nodes import PAD_VALUE, finn_type
from qdeploy.dataflow.finn.operators import register
from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.any_weights import weight_kind
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
    IntegerGraph,
    IntType,
    MaxPool,
    Node,
    Tensor,
    Threshold,
    Upsample,
)
from qdeploy.ir.layout import stream_shape, to_stream_order
from qdeploy.lowering.canonical.refusal import ACCEPTED, refuse_layer

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

OPSET = 13
MAP_AXES = 3


def to_finn(graph: IntegerGraph) -> ModelWrapper:
    """The integer graph as a FINN model, one frame per batch.

    Raises:
        UnsupportedLayerError: a node has no hardware unit.
    """
    return _Emitter(graph).model()


def _refused(node: Node, found: str, *, do: str, why: str | None = None) -> UnsupportedLayerError:
    return refuse_layer(node.layer, node.name, type(node).__name__, found, why=why, do=do)


class _Emitter:
    def __init__(self, graph: IntegerGraph) -> None:
        register()
        self.graph = graph
        self.nodes: list[Any] = []
        self.initializers: dict[str, tuple[np.ndarray, IntType | None]] = {}
        self.shapes = {t.name: (1, *t.shape) for t in graph.tensors.values()}
        self.stream = "stream_in"
        self.vector_order: np.ndarray | None = None

    def model(self) -> ModelWrapper:
        import onnx
        from onnx import TensorProto, helper
        from qonnx.core.datatype import DataType
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.infer_shapes import InferShapes
        from qonnx.util.basic import qonnx_make_model

        source = self.graph.tensors[self.graph.input]
        shape = self._enter(source)
        for node in self.graph.nodes:
            self._node(node)
        result = self.graph.tensors[self.graph.output]
        argmax = isinstance(self.graph.producer(self.graph.output), ArgMax)
        proto = helper.make_graph(
            self.nodes,
            self.graph.name,
            [helper.make_tensor_value_info(self.stream, TensorProto.FLOAT, (1, *shape))],
            [
                helper.make_tensor_value_info(
                    result.name,
                    TensorProto.INT64 if argmax else TensorProto.FLOAT,
                    (1, *result.shape),
                )
            ],
            [
                onnx.numpy_helper.from_array(array, name)
                for name, (array, _) in self.initializers.items()
            ],
        )
        model = ModelWrapper(
            qonnx_make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)])
        )
        for name, known in self.shapes.items():
            if any(name in node.output for node in self.nodes):
                model.set_tensor_shape(name, known)
        model = model.transform(InferShapes())
        for name, (_, dtype) in self.initializers.items():
            if dtype is not None:
                model.set_tensor_datatype(name, DataType[finn_type(dtype)])
        model.set_tensor_datatype(self.stream, DataType[finn_type(source.dtype)])
        if len(shape) == 3:
            model.set_tensor_layout(self.stream, ["N", "H", "W", "C"])
        for tensor in self.graph.tensors.values():
            if model.get_tensor_shape(tensor.name) is not None:
                model.set_tensor_datatype(tensor.name, DataType[finn_type(tensor.dtype)])
        return model

    def _enter(self, source: Tensor) -> tuple[int, ...]:
        """Connect the stream to the graph's input; returns the stream's shape."""
        if len(source.shape) == 1:
            self.stream = source.name
            return source.shape
        users = self.graph.consumers(source.name)
        vector = users[0].output
        readers = self.graph.consumers(vector)
        free = source.shape[0] == 1 or all(isinstance(reader, Dense) for reader in readers)
        if all(isinstance(user, Flatten) for user in users) and free:
            self.stream = vector
            order = np.arange(source.size).reshape(source.shape)
            self.vector_order = to_stream_order(order, frames=False).reshape(-1)
            return (source.size,)
        self._add("Transpose", "input", [self.stream], source.name, perm=[0, 3, 1, 2])
        return stream_shape(source)

    def _node(self, node: Node) -> None:
        match node:
            case Conv():
                self._conv(node)
            case Dense():
                self._dense(node)
            case Threshold():
                self._threshold(node)
            case MaxPool():
                self._max_pool(node)
            case Add():
                self._add("Add", node.name, list(node.inputs), node.output)
            case GlobalSum():
                self._global_sum(node)
            case Concat():
                self._concat(node)
            case Upsample() | Dilate() | DepthToSpace():
                self._enlarged(node)
            case Flatten():
                if node.output != self.stream:
                    self._add("Flatten", node.name, list(node.inputs), node.output, axis=1)
            case Bias():
                bias = self._initializer(f"{node.name}.bias", node.bias)
                self._on_last_axis("Add", node, [bias])
            case ArgMax():
                one = f"{node.name}.k"
                self.initializers[one] = (np.array([1], np.int64), None)
                self._on_last_axis("TopK", node, [one], f"{node.output}.value")
            case _:
                raise _refused(node, "it has no hardware unit", do=f"build it from {ACCEPTED}")

    def _conv(self, node: Conv) -> None:
        channels = self.graph.tensors[node.inputs[0]].shape[0]
        if node.groups not in (1, channels) or (
            node.groups > 1 and node.weights.shape[0] != channels
        ):
            raise _refused(
                node,
                f"a grouped convolution ({node.groups} groups of "
                f"{channels // node.groups} channels to {node.weights.shape[0]})",
                why="there are hardware units for one group, and for one channel per group",
                do="use groups: 1, or a depthwise convolution with as many groups as channels",
            )
        self._add(
            "Conv",
            node.name,
            [node.inputs[0], self._weights(node.name, node.weights)],
            node.output,
            kernel_shape=list(node.weights.shape[2:]),
            strides=list(node.stride),
            pads=list(node.pads),
            dilations=list(node.dilation),
            group=node.groups,
        )

    def _max_pool(self, node: MaxPool) -> None:
        """FINN's own layers: its pass for ONNX's operator takes neither a stride beyond the window
        nor uneven padding, and loses the other branches of a fork."""
        source, result = self.graph.tensors[node.inputs[0]], self.graph.tensors[node.output]
        windows, kind = f"{node.output}.windows", finn_type(source.dtype)
        before, after = self._channels_last(source, result)
        if any(node.pads):
            before = self._padded(source, before, node.pads)
        height, width, channels = stream_shape(result)
        self.shapes[windows] = (1, height, width, prod(node.kernel) * channels)
        self._add(
            "Im2Col",
            "",
            [before],
            windows,
            domain="qonnx.custom_op.general",
            stride=list(node.stride),
            kernel_size=list(node.kernel),
            pad_amount=[0, 0, 0, 0],
            depthwise=1,
            input_shape=str(self.shapes[before]),
        )
        self._add(
            "Pool",
            node.name,
            [windows],
            after,
            domain="finn.custom_op.fpgadataflow",
            backend="fpgadataflow",
            InputDataType=kind,
            OutputDataType=kind,
            Channels=channels,
            PE=channels,
            KernelSize=list(node.kernel),
            Function="MaxPool",
            OutImgDims=[height, width],
            BatchSize=1,
        )
        self._channels_first(after, node.output)

    def _padded(self, source: Tensor, name: str, pads: tuple[int, int, int, int]) -> str:
        """A map, channels last, with a border of the lowest code, which never is a maximum."""
        height, width, channels = stream_shape(source)
        top, left, bottom, right = pads
        padded = f"{name}.padded"
        self.shapes[padded] = (1, top + height + bottom, left + width + right, channels)
        self._add(
            "FMPadding",
            "",
            [name],
            padded,
            domain="finn.custom_op.fpgadataflow",
            backend="fpgadataflow",
            ImgDim=[height, width],
            Padding=list(pads),
            NumChannels=channels,
            inputDataType=finn_type(source.dtype),
            SIMD=channels,
            **{PAD_VALUE: source.dtype.lo},
        )
        return padded

    def _channels_last(self, source: Tensor, result: Tensor) -> tuple[str, str]:
        """Puts a map's channels last; names for that and for the result, its channels last too."""
        before, after = f"{result.name}.before", f"{result.name}.after"
        self.shapes[before], self.shapes[after] = (
            (1, *stream_shape(tensor)) for tensor in (source, result)
        )
        self._add("Transpose", "", [source.name], before, perm=[0, 2, 3, 1])
        return before, after

    def _channels_first(self, name: str, result: str) -> None:
        self._add("Transpose", "", [name], result, perm=[0, 3, 1, 2])

    def _on_last_axis(self, op: str, node: Node, more: list[str], *unused: str) -> None:
        """An operator that works on the last axis, which has to be that of the channels."""
        source, result = (self.graph.tensors[name] for name in (node.inputs[0], node.output))
        if len(source.shape) == 1:
            self._add(op, node.name, [source.name, *more], *unused, result.name)
            return
        before, after = self._channels_last(source, result)
        self._add(op, node.name, [before, *more], *unused, after)
        self._channels_first(after, result.name)

    def _global_sum(self, node: GlobalSum) -> None:
        """FINN's own operator, since ONNX has none that sums over pixels and keeps integers."""
        source = self.graph.tensors[node.inputs[0]]
        height, width, channels = stream_shape(source)
        last, sums = f"{node.output}.channels_last", f"{node.output}.sums"
        self.shapes[last] = (1, height, width, channels)
        self.shapes[sums] = (1, 1, 1, channels)
        self._add("Transpose", "", [source.name], last, perm=[0, 2, 3, 1])
        self._add(
            "GlobalAccPool",
            node.name,
            [last],
            sums,
            domain="finn.custom_op.fpgadataflow",
            backend="fpgadataflow",
            NumChannels=channels,
            PE=1,
            inputDataType=finn_type(source.dtype),
            numInputVectors=[1, height, width],
        )
        self._add("Flatten", "", [sums], node.output, axis=1)

    def _concat(self, node: Concat) -> None:
        """FINN's own layer: its pass for ONNX's operator wants one type of all inputs."""
        parts = [self.graph.tensors[name] for name in node.inputs]
        result = self.graph.tensors[node.output]
        sources, made = list(node.inputs), result.name
        if len(result.shape) == MAP_AXES:
            sources = [f"{result.name}.before{index}" for index in range(len(parts))]
            for part, source in zip(parts, sources, strict=True):
                self.shapes[source] = (1, *stream_shape(part))
                self._add("Transpose", "", [part.name], source, perm=[0, 2, 3, 1])
            made = f"{result.name}.after"
            self.shapes[made] = (1, *stream_shape(result))
        self._hardware(node.name, sources, made, concatenation(parts))
        if made != result.name:
            self._channels_first(made, result.name)

    def _enlarged(self, node: Upsample | Dilate | DepthToSpace) -> None:
        source, result = self.graph.tensors[node.inputs[0]], self.graph.tensors[node.output]
        before, after = self._channels_last(source, result)
        self._hardware(node.name, [before], after, enlargement(node, source))
        self._channels_first(after, result.name)

    def _hardware(self, name: str, inputs: list[str], output: str, layer: FinnLayer) -> None:
        """A layer of FINN's that none of its passes makes."""
        settings = {"domain": "finn.custom_op.fpgadataflow", "backend": "fpgadataflow"}
        self._add(layer.op, name, inputs, output, **settings, **layer.attributes)

    def _dense(self, node: Dense) -> None:
        weights = node.weights
        if node.inputs[0] == self.stream and self.vector_order is not None:
            weights = weights[:, self.vector_order]
        self._add(
            "MatMul",
            node.name,
            [node.inputs[0], self._weights(node.name, weights.T)],
            node.output,
        )

    def _threshold(self, node: Threshold) -> None:
        # One row per channel even where all rows agree: FINN's units index by channel.
        accumulator = self.graph.tensors[node.inputs[0]]
        rows, base = node.thresholds, node.base
        if base >= 0 and self.graph.tensors[node.output].dtype.signed:
            # FINN wants signed codes to start below zero: levels that every accumulator reaches.
            met = np.full((len(rows), base + 1), accumulator.lo, dtype=rows.dtype)
            rows, base = np.concatenate([met, rows], axis=1), -1
        dtype = IntType.holding(
            min(accumulator.lo, int(rows.min())), max(accumulator.hi, int(rows.max()))
        )
        self._add(
            "MultiThreshold",
            node.name,
            [node.inputs[0], self._initializer(f"{node.name}.thresholds", rows, dtype)],
            node.output,
            domain="qonnx.custom_op.general",
            out_dtype=finn_type(self.graph.tensors[node.output].dtype),
            out_scale=1.0,
            out_bias=float(base),
            data_layout="NCHW" if len(accumulator.shape) == 3 else "NC",
        )

    def _weights(self, name: str, weights: np.ndarray) -> str:
        return self._initializer(f"{name}.weights", weights, weight_kind(weights))

    def _initializer(self, name: str, values: np.ndarray, dtype: IntType | None = None) -> str:
        array = np.ascontiguousarray(values, dtype=np.float32)
        if not np.array_equal(array.astype(np.int64), values):
            node, _, kind = name.rpartition(".")
            raise refuse_layer(
                node.rpartition(".")[0],
                node,
                kind,
                f"its {kind} hold integers beyond 24 bits",
                expected=f"{kind} below 2^24",
                why="FINN keeps parameters in float32, which is exact up to 2^24",
                do="lower the bit widths or the fan-in of this layer",
            )
        self.initializers[name] = (
            array,
            dtype or IntType.holding(int(values.min()), int(values.max())),
        )
        return name

    def _add(self, op: str, name: str, inputs: list[str], *outputs: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, list(outputs), name=name, **attributes))
