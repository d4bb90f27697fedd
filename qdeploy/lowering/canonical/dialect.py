"""Dialects of ONNX: what exporters and versions write differently becomes one form.

initializers among the inputs        -> initializers only (files before IR 4)
nodes in any order                   -> in the order of execution
operator sets before 13              -> 13, by ONNX's own converter
float64 and float16 constants        -> float32, rounded once where they do not fit
a batch of N frames, or of any size  -> one frame, in reshapes as well
shapes that the file claims          -> inferred anew
nodes of domain channels_last        -> transposes around the standard operator
FINN's own operators                 -> standard ones (`finn_operators.py`)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
    shape_inference,
    version_converter,
)

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.bounds import CHANNELS_LAST_DOMAIN, STANDARD_DOMAINS
from qdeploy.lowering.canonical.finn_operators import standard_operators

OLDEST, CONVERTED = 7, 13
# The newest operator set whose changes were looked at.
NEWEST = 23
IR_VERSION = 10
_UNCONVERTED = (
    RuntimeError,
    ValueError,
    IndexError,
    shape_inference.InferenceError,
    version_converter.ConvertError,
)
_FLOATS = (TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def normalize(model: ModelProto, name: str, where: str) -> list[str]:
    """Bring a model whose bounds were checked into one dialect, in place; returns notes.

    Raises:
        UnsupportedLayerError: its operator set is unknown, or its nodes form a circle.
        ValidationError: it is in an old operator set and breaks its rules.
    """
    notes: list[str] = []
    _drop_constant_inputs(model)
    _sort(model, name, where)
    _own_names(model)
    model.ir_version = max(model.ir_version, min(IR_VERSION, onnx.IR_VERSION))
    _operator_set(model, name, where)
    _channels_last(model)
    standard_operators(model)
    notes += _floats(model)
    notes += _one_frame(model)
    del model.graph.value_info[:]
    return notes


def _drop_constant_inputs(model: ModelProto) -> None:
    constant = {tensor.name for tensor in model.graph.initializer}
    kept = [item for item in model.graph.input if item.name not in constant]
    if len(kept) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(kept)


def _sort(model: ModelProto, name: str, where: str) -> None:
    """Nodes after what they read, in the file's own order as far as that allows."""
    nodes = list(model.graph.node)
    made = {output: index for index, node in enumerate(nodes) for output in node.output if output}
    waits: list[set[int]] = []
    readers: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        sources = {made[item] for item in node.input if item in made}
        waits.append(sources)
        for source in sources:
            readers[source].append(index)
    if all(max(sources, default=-1) < index for index, sources in enumerate(waits)):
        return
    ready = [index for index, sources in enumerate(waits) if not sources]
    heapq.heapify(ready)
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for reader in readers[index]:
            waits[reader].discard(index)
            if not waits[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(nodes):
        stuck = next(index for index, sources in enumerate(waits) if sources)
        raise UnsupportedLayerError(
            f"the nodes of {name} form a circle",
            where=f"{where}: node `{nodes[stuck].name or nodes[stuck].output[0]}`",
            why="a node has to be computed before what it reads",
            do="export the network again",
        )
    copies = [NodeProto.FromString(nodes[index].SerializeToString()) for index in order]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _own_names(model: ModelProto) -> None:
    """Nodes of one name get numbers; onnxruntime wants each name once."""
    counts: dict[str, int] = {}
    for node in model.graph.node:
        number = counts[node.name] = counts.get(node.name, 0) + 1
        if node.name and number > 1:
            node.name = f"{node.name}_{number}"


def _operator_set(model: ModelProto, name: str, where: str) -> None:
    standard = [item for item in model.opset_import if item.domain in STANDARD_DOMAINS]
    if not standard:
        model.opset_import.append(helper.make_opsetid("", CONVERTED))
        return
    version = standard[0].version
    if not OLDEST <= version <= NEWEST:
        raise UnsupportedLayerError(
            f"{name} is written in operator set {version} of ONNX",
            where=where,
            why=f"operator sets {OLDEST} to {NEWEST} are known",
            do=f"export with an operator set up to {NEWEST}, such as 17",
        )
    if version < CONVERTED:
        onnx.checker.check_model(model)  # names that nothing makes would end the process below
        try:
            converted = version_converter.convert_version(model, CONVERTED)
        except _UNCONVERTED as error:
            raise UnsupportedLayerError(
                f"{name} cannot be brought from operator set {version} to {CONVERTED}",
                where=where,
                why=next(iter(str(error).splitlines()), type(error).__name__),
                do=f"export with operator set {CONVERTED} or newer",
            ) from error
        annotations = list(model.graph.quantization_annotation)
        model.graph.CopyFrom(converted.graph)
        if not len(model.graph.quantization_annotation):
            model.graph.quantization_annotation.extend(annotations)
        standard[0].version = CONVERTED


def _channels_last(model: ModelProto) -> None:
    """QONNX's operators for maps (N, H, W, C) become standard ones between transposes."""
    if not any(map(_is_channels_last, model.graph.node)):
        return
    nodes = []
    for node in model.graph.node:
        if not _is_channels_last(node):
            nodes.append(NodeProto.FromString(node.SerializeToString()))
            continue
        stem, source, target = node.output[0], node.input[0], node.output[0]
        inner = NodeProto.FromString(node.SerializeToString())
        if node.op_type == "QuantAvgPool2d":
            _set_layout(inner, "NCHW")
        else:
            inner.domain = ""
        inner.input[0], inner.output[0] = f"{stem}_planes", f"{stem}_result"
        nodes += [
            helper.make_node(
                "Transpose", [source], [inner.input[0]], f"{stem}_in", perm=[0, 3, 1, 2]
            ),
            inner,
            helper.make_node(
                "Transpose", [inner.output[0]], [target], f"{stem}_out", perm=[0, 2, 3, 1]
            ),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for item in list(model.opset_import):
        if item.domain == CHANNELS_LAST_DOMAIN:
            model.opset_import.remove(item)


def _is_channels_last(node: NodeProto) -> bool:
    if node.op_type == "QuantAvgPool2d":
        return any(item.name == "data_layout" and item.s == b"NHWC" for item in node.attribute)
    return bool(node.domain == CHANNELS_LAST_DOMAIN)


def _set_layout(node: NodeProto, layout: str) -> None:
    for item in [item for item in node.attribute if item.name == "data_layout"]:
        item.s = layout.encode()


def _floats(model: ModelProto) -> list[str]:
    """Constants and casts of other float types become float32."""
    inexact = 0
    for tensor in list(model.graph.initializer):
        inexact += _as_float32(tensor)
    for node in model.graph.node:
        for item in node.attribute:
            if item.type == AttributeProto.TENSOR:
                inexact += _as_float32(item.t)
            elif item.name == "to" and node.op_type == "Cast" and item.i == TensorProto.DOUBLE:
                item.i = TensorProto.FLOAT
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    if not inexact:
        return []
    return [f"{inexact} float64 constants were rounded to float32: the network is this one's"]


def _as_float32(tensor: TensorProto) -> int:
    """Change a constant in place; whether a value changed."""
    if tensor.data_type not in _FLOATS:
        return 0
    before = numpy_helper.to_array(tensor)
    after = before.astype(np.float32)
    changed = not np.array_equal(after.astype(before.dtype), before, equal_nan=True)
    tensor.CopyFrom(numpy_helper.from_array(after, tensor.name))
    return int(changed)


def _one_frame(model: ModelProto) -> list[str]:
    """The input's batch axis becomes 1, and so does the batch that reshapes name."""
    if len(model.graph.input) != 1:
        return []
    dims = model.graph.input[0].type.tensor_type.shape.dim
    if not dims:
        return []
    batch = dims[0].dim_value if dims[0].HasField("dim_value") else 0
    dims[0].ClearField("dim_param")
    dims[0].dim_value = 1
    for item in model.graph.output:
        # The checker wants a shape; what it is follows from the layers.
        item.type.tensor_type.shape.SetInParent()
        for dim in item.type.tensor_type.shape.dim:
            dim.Clear()
    if batch <= 1:
        return []
    targets = {
        node.input[1]
        for node in model.graph.node
        if node.op_type == "Reshape" and len(node.input) > 1
    }
    constants: Iterable[TensorProto] = (
        *(tensor for tensor in model.graph.initializer if tensor.name in targets),
        *(
            item.t
            for node in model.graph.node
            if node.op_type == "Constant" and node.output[0] in targets
            for item in node.attribute
            if item.type == AttributeProto.TENSOR
        ),
    )
    for tensor in constants:
        shape = numpy_helper.to_array(tensor)
        if shape.ndim == 1 and shape.size and shape[0] == batch:
            one = shape.copy()
            one[0] = 1
            tensor.CopyFrom(numpy_helper.from_array(one, tensor.name))
    return [f"the file is for a batch of {batch} frames: it is taken for one frame"]
