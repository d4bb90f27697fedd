"""Facts about the nodes of FINN's graph, as one typed value: `HwNode`.

Passes, folding, FIFOs and stitching ask it instead of reading names and attributes of FINN's nodes.
What depends on the operator is declared by the backend (`operators.Operator`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.dataflow.finn.geometry import HwStream, Padding, Size, Window
from qdeploy.dataflow.finn.operators import Kind, LayerFrom, Operator, operator_of
from qdeploy.errors import InternalError

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

    from qdeploy.ir.integer_graph import IntArray, IntType

RTL_DOMAIN = "finn.custom_op.fpgadataflow.rtl"
HARDWARE_DOMAIN = "finn.custom_op.fpgadataflow"

# Node attribute of a window: rows its memory holds in addition to those of a window; 0 for as
# many again.
AHEAD = "rows_ahead"
# Node attribute of a padding: the code of the border. FINN's own operator pads with 0.
PAD_VALUE = "PadValue"
# Node attribute of a sum over pixels: the type of its result.
SUM_TYPE = "sumDataType"
# Node attribute: multiply (1) or search (0) where there are fixed-point numbers.
REQUANTIZE = "requantize"
# Node attribute: the configuration stream writes its memories (1), or nothing does (0).
LOADABLE = "loadable"
# Node attribute: of an XNOR unit, the sum of each row's weights.
ROW_SUMS = "binaryRowSums"
# Name of a parameter: of the integer graph's node, and what it is.
PARAMETER = re.compile(r"(.+)\.(weights|bias|thresholds)")
# Name of the layer that a fork of the network's input belongs to.
INPUT = "input"
# Name of the layer of what leads to the network's output only.
OUTPUT = "output"


@dataclass(frozen=True, eq=False)
class HwNode:
    """A hardware layer of FINN's graph.

    Nothing but FINN's `instance` is kept: figures follow the node's attributes as they change. In
    loops that read millions of them, `instance.keep_attributes()` makes reading fast.

    Args:
        model: the graph it is part of.
        node: FINN's node, specialized or not.
        operator: what its backend declares.
    """

    model: ModelWrapper
    node: NodeProto
    operator: Operator

    @staticmethod
    def of(model: ModelWrapper, node: NodeProto) -> HwNode:
        """The facts of a node.

        Raises:
            InternalError: no backend declares its operator.
        """
        found = operator_of(node.op_type)
        if found is None:
            raise InternalError(f"`{node.name}` is a {node.op_type}, which no backend declares")
        return HwNode(model, node, found)

    @cached_property
    def instance(self) -> Any:
        """FINN's object around the node: attributes are set through it."""
        from qonnx.custom_op.registry import getCustomOp

        return getCustomOp(self.node)

    # ---- what it is ----

    @property
    def name(self) -> str:
        """Name of the hardware layer."""
        return str(self.node.name)

    @property
    def kind(self) -> Kind:
        """What passes tell apart."""
        return self.operator.kind

    @property
    def is_mover(self) -> bool:
        """Whether codes leave it as they came, whatever their order."""
        return self.operator.is_mover

    @property
    def moves_pixels(self) -> bool:
        """Whether it is a window or padding, which shares the folding of the layer it leads to."""
        return self.operator.moves_pixels

    @property
    def has_weights(self) -> bool:
        """Whether it multiplies by weights."""
        return self._parameter(self.operator.weights) is not None

    @property
    def has_thresholds(self) -> bool:
        """Whether it turns sums into codes."""
        return self._parameter(self.operator.thresholds) is not None

    @property
    def layer(self) -> str:
        """Name of the integer graph's node it belongs to (`layer_of`)."""
        return layer_of(self.model, self.node)

    # ---- neighbours and streams ----

    def producer(self, index: int = 0) -> HwNode | None:
        """The layer that feeds input `index`, None for the network's input."""
        found = self.model.find_producer(self.node.input[index])
        return None if found is None else HwNode.of(self.model, found)

    def consumer(self, index: int = 0) -> HwNode | None:
        """The layer that reads output `index`, None for the network's output."""
        found = self.model.find_consumer(self.node.output[index])
        return None if found is None else HwNode.of(self.model, found)

    @property
    def inputs(self) -> dict[int, str]:
        """Number of the input -> tensor, for inputs that are streams and no parameters."""
        constants = {item.name for item in self.model.graph.initializer}
        return {i: name for i, name in enumerate(self.node.input) if name not in constants}

    @property
    def outputs(self) -> dict[int, str]:
        """Number of the output -> tensor."""
        return dict(enumerate(self.node.output))

    def input(self, index: int = 0) -> HwStream:
        """The stream at input `index` of FINN's node."""
        inst = self.instance
        return _stream(
            self.node.input[index],
            inst.get_normal_input_shape(index),
            inst.get_folded_input_shape(index),
            inst.get_input_datatype(index),
            inst.get_instream_width(index),
        )

    def output(self, index: int = 0) -> HwStream:
        """The stream at output `index` of FINN's node."""
        inst = self.instance
        return _stream(
            self.node.output[index],
            inst.get_normal_output_shape(index),
            inst.get_folded_output_shape(index),
            inst.get_output_datatype(index),
            inst.get_outstream_width(index),
        )

    def stream_name(self, index: int) -> str:
        """Name of the stream at input `index`: it stays the same when FIFOs come and go."""
        return f"{self.name}.{index}"

    # ---- parameters ----

    def weights(self) -> IntArray:
        """Weights as FINN keeps them: (MW, MH) of a matrix, (C, 1, KH, KW) of a depthwise unit.

        Raises:
            InternalError: it has none.
        """
        return self._values(self.operator.weights)

    def thresholds(self) -> IntArray:
        """Thresholds (channels or 1, levels).

        Raises:
            InternalError: it has none.
        """
        return self._values(self.operator.thresholds)

    def _parameter(self, index: int | None) -> str | None:
        return None if index is None or index >= len(self.node.input) else self.node.input[index]

    def _values(self, index: int | None) -> IntArray:
        name = self._parameter(index)
        if name is None:
            raise InternalError(f"`{self.name}` has no such parameter")
        values: IntArray = np.asarray(self.model.get_initializer(name)).astype(np.int64)
        return values

    # ---- attributes ----

    def integer(self, attribute: str) -> int:
        """A node attribute."""
        return int(self.instance.get_nodeattr(attribute))

    def integers(self, attribute: str) -> tuple[int, ...]:
        """A node attribute with several elements."""
        return tuple(int(value) for value in self.instance.get_nodeattr(attribute))

    @property
    def cycles(self) -> int:
        """Cycles per frame at steady state, by itself."""
        return int(self.instance.get_exp_cycles())

    @property
    def channels(self) -> int:
        """Channels it handles, which its PE divides."""
        if self.operator.channels is not None:
            return self.integer(self.operator.channels)
        return int(self.instance.get_normal_output_shape()[-1])

    @property
    def pe(self) -> int:
        """Results at a time."""
        return self.integer("PE")

    @property
    def matrix(self) -> Size:
        """Rows and columns of a matrix unit's weights (MH, MW)."""
        return self.integer("MH"), self.integer("MW")

    @property
    def keeps_next_vector(self) -> bool:
        """Whether it takes the next vector while it works on one: a matrix unit of more than one
        row group does (`qd_mvu_input`)."""
        return self.kind is Kind.MATRIX and self.integer("MH") > self.pe

    @property
    def window(self) -> Window | None:
        """Geometry of a sliding window, None of anything else."""
        if self.kind is not Kind.WINDOW:
            return None
        return Window(
            shape=self._size("IFMDim"),
            out=self._size("OFMDim"),
            kernel=self._size("ConvKernelDim"),
            stride=self._size("Stride"),
            dilation=self._size("Dilation"),
            whole=bool(self.instance.use_parallel_window_output()),
            rows_ahead=self.integer(AHEAD),
        )

    @property
    def padding(self) -> Padding | None:
        """Geometry of a padding, None of anything else."""
        if self.kind is not Kind.PADDING:
            return None
        return Padding(self._size("ImgDim"), *self.integers("Padding"))

    def _size(self, attribute: str) -> Size:
        vertical, horizontal = self.integers(attribute)
        return vertical, horizontal


def hw_nodes(model: ModelWrapper) -> list[HwNode]:
    """The hardware layers of a graph in its order.

    Raises:
        InternalError: no backend declares the operator of one.
    """
    return [HwNode.of(model, node) for node in model.graph.node]


def _stream(tensor: str, shape: Any, folded: Any, dtype: Any, width: Any) -> HwStream:
    *beats, per_beat = (int(size) for size in folded)
    return HwStream(
        tensor=str(tensor),
        shape=tuple(int(size) for size in shape),
        beats=prod(beats),
        per_beat=per_beat,
        bits=int(dtype.bitwidth()),
        signed=bool(dtype.signed()),
        width=int(width),
    )


def layer_groups(model: ModelWrapper) -> list[list[HwNode]]:
    """Every layer after the nodes that only move its pixels, in the order of the stream."""
    groups = []
    nodes = {node.name: node for node in hw_nodes(model)}
    for node in nodes.values():
        if node.moves_pixels:
            continue
        members = [node]
        source = node.producer()
        while source is not None and source.moves_pixels:
            members.insert(0, nodes[source.name])
            source = source.producer()
        groups.append(members)
    return groups


def layer_of(model: ModelWrapper, node: NodeProto) -> str:
    """Name of the integer graph's node that a hardware layer belongs to.

    A node with parameters is found by their names; for others the operator says how. What only
    moves data (padding, window, width converter, FIFO) belongs to the next layer. Once named, a
    node remembers its layer in its documentation string. A fork of the input belongs to `INPUT`.
    """
    current: NodeProto | None = node
    while current is not None:
        if current.doc_string:
            return str(current.doc_string)
        for name in current.input:
            match = PARAMETER.fullmatch(name)
            if match and model.get_initializer(name) is not None:
                return match.group(1)
        operator = operator_of(current.op_type)
        match operator and operator.layer_from:
            case LayerFrom.NAME:
                return str(current.name)
            case LayerFrom.PRODUCER:
                producer = model.find_producer(current.input[0])
                return INPUT if producer is None else layer_of(model, producer)
        current = model.find_consumer(current.output[0])
    return OUTPUT


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [d for d in range(1, number + 1) if number % d == 0]


def finn_type(dtype: IntType) -> str:
    """FINN's name of a code type: `UINT2`, `INT8`, …"""
    return f"{'INT' if dtype.signed else 'UINT'}{dtype.bits}"


def stream_name(consumer: NodeProto, tensor: str) -> str:
    """Name of the stream that brings `tensor` to `consumer`."""
    return f"{consumer.name}.{list(consumer.input).index(tensor)}"
