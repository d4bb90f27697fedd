"""Facts about the nodes of FINN's graph."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

    from qdeploy.ir.integer_graph import IntType


RTL_DOMAIN = "finn.custom_op.fpgadataflow.rtl"


SUFFIX = "_qd_rtl"


HARDWARE_DOMAIN = "finn.custom_op.fpgadataflow"


def operator(op_type: str) -> str:
    """FINN's operator name without the backend's suffix."""
    return op_type.removesuffix(SUFFIX)


MOVERS = ("FMPadding", "ConvolutionInputGenerator")


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [d for d in range(1, number + 1) if number % d == 0]


def layer_groups(model: ModelWrapper) -> list[list[NodeProto]]:
    """Every layer behind what only moves its pixels, in the order of the stream."""
    groups = []
    for node in model.graph.node:
        if node.op_type.startswith(MOVERS):
            continue
        members = [node]
        source = model.find_producer(node.input[0])
        while source is not None and source.op_type.startswith(MOVERS):
            members.insert(0, source)
            source = model.find_producer(source.input[0])
        groups.append(members)
    return groups


# Rows the memory holds beside those of a window: 0 stands for as many as those.
AHEAD = "rows_ahead"


# Attribute of a padding node: the code of the border. FINN's own operator pads with 0.
PAD_VALUE = "PadValue"


def finn_type(dtype: IntType) -> str:
    """FINN's name of a code type: `UINT2`, `INT8`, …"""
    return f"{'INT' if dtype.signed else 'UINT'}{dtype.bits}"


# Attribute of a sum over pixels: the type of its result.
SUM_TYPE = "sumDataType"


# What a fork of the network's input belongs to.
INPUT = "input"


def layer_of(model: ModelWrapper, node: NodeProto) -> str:
    """Name of the integer graph's node that a hardware layer belongs to.

    A matrix unit, threshold unit or bias is found by its parameters; a pool by the name FINN kept;
    what only moves data (padding, window, width converter, FIFO) belongs to the next layer. Once
    named, a node remembers its layer in its documentation string. A fork of the input belongs to
    `INPUT`.
    """
    current: NodeProto | None = node
    while current is not None:
        if current.doc_string:
            return str(current.doc_string)
        for name in current.input:
            match = re.fullmatch(r"(.+)\.(weights|bias|thresholds)", name)
            if match and model.get_initializer(name) is not None:
                return match.group(1)
        if current.op_type.startswith(("GlobalAccPool", "ElementwiseAdd")):
            return str(current.name)
        for kind in ("Pool", "LabelSelect"):
            if current.op_type.startswith(kind):
                return str(current.name).removeprefix(f"{kind}_")
        if current.op_type.startswith("DuplicateStreams"):
            producer = model.find_producer(current.input[0])
            return INPUT if producer is None else layer_of(model, producer)
        current = model.find_consumer(current.output[0])
    return "output"


# Node attribute: multiply (1) or search (0) where there are fixed-point numbers.
REQUANTIZE = "requantize"


def stream_name(consumer: NodeProto, tensor: str) -> str:
    """Name of the stream that brings `tensor` to `consumer`."""
    return f"{consumer.name}.{list(consumer.input).index(tensor)}"
