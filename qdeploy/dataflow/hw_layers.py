"""FINN's hardware layers from FINN's dialect of ONNX, through FINN's own passes.

    requires   integer nodes only (the integer graph made them), one input, one output
    transform  convolutions to Im2Col + MatMul, channels last, transposes cancelled; then each node
               to its hardware layer, thresholds inside the matrix unit that feeds them
    ensures    every node is a hardware layer, named after the recipe's layer

FINN's float streamlining is not needed: what it would move (scales, biases, batch norm) was turned
into integer thresholds exactly before, so only its layout and inference passes are left to run.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from qdeploy.dataflow import finn_env
from qdeploy.errors import PassError, UnsupportedLayerError

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

# Enough for any chain: each round moves a transpose past at least one node.
MAX_ROUNDS = 20

_SUFFIX = {
    "MVAU": "mvau",
    "VVAU": "vvau",
    "ConvolutionInputGenerator": "window",
    "FMPadding": "pad",
    "Pool": "pool",
    "GlobalAccPool": "sum",
    "DuplicateStreams": "fork",
    "LabelSelect": "argmax",
    "Thresholding": "thres",
    "ElementwiseAdd": "add",
    "StreamingDataWidthConverter": "dwc",
    "StreamingFIFO": "fifo",
}


def to_hw_layers(model: ModelWrapper) -> ModelWrapper:
    """Run FINN's conversion on a model made by `finn_graph.to_finn`.

    Raises:
        UnsupportedLayerError: a node is left that is no hardware layer; names it and its layer.
        PassError: the layout passes did not come to rest.
    """
    finn_env.prepare()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _infer(_cut_last_transpose(_channels_last(model)))
    _ensure_hardware_only(model)
    name_nodes(model)
    return model


def _channels_last(model: ModelWrapper) -> ModelWrapper:
    from finn.transformation.streamline.absorb import (
        AbsorbConsecutiveTransposes,
        AbsorbTransposeIntoMultiThreshold,
    )
    from finn.transformation.streamline.reorder import (
        MoveTransposePastFork,
        MoveTransposePastJoinAdd,
    )
    from qonnx.transformation.infer_data_layouts import InferDataLayouts
    from qonnx.transformation.infer_datatypes import InferDataTypes
    from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul

    plain = _plain_convolutions(model)
    model = model.transform(InferDataLayouts()).transform(LowerConvsToMatMul())
    _forget_depthwise(model, plain)
    for _ in range(MAX_ROUNDS):
        before = [(node.op_type, *node.input, *node.output) for node in model.graph.node]
        for step in (
            InferDataLayouts(),
            AbsorbTransposeIntoMultiThreshold(),
            AbsorbConsecutiveTransposes(),
            MoveTransposePastFork(),
            MoveTransposePastJoinAdd(),
            AbsorbConsecutiveTransposes(),
        ):
            model = model.transform(step)
        if before == [(node.op_type, *node.input, *node.output) for node in model.graph.node]:
            return model.transform(InferDataLayouts()).transform(InferDataTypes())
    raise PassError(f"FINN's layout passes did not come to rest within {MAX_ROUNDS} rounds")


def _plain_convolutions(model: ModelWrapper) -> set[str]:
    """Names of the weights of convolutions with one group."""
    from qonnx.util.basic import get_by_name

    return {
        node.input[1]
        for node in model.get_nodes_by_op_type("Conv")
        if get_by_name(node.attribute, "group").i == 1
    }


def _forget_depthwise(model: ModelWrapper, plain: set[str]) -> None:
    """A convolution from one channel to one is taken for depthwise; it is a plain one."""
    from qonnx.custom_op.registry import getCustomOp

    for annotation in model.graph.quantization_annotation:
        if annotation.tensor_name in plain:
            entries = annotation.quant_parameter_tensor_names
            for entry in [entry for entry in entries if entry.key == "tensor_sparsity"]:
                entries.remove(entry)
    for node in model.get_nodes_by_op_type("Im2Col"):
        if model.find_consumer(node.output[0]).input[1] in plain:
            getCustomOp(node).set_nodeattr("depthwise", 0)


def _cut_last_transpose(model: ModelWrapper) -> ModelWrapper:
    """A feature map leaves in stream order: the last Transpose is the host's business."""
    output = model.graph.output[0]
    last = model.find_producer(output.name)
    if last is None or last.op_type != "Transpose":
        return model
    inner = last.input[0]
    entry = next(item for item in model.graph.value_info if item.name == inner)
    model.graph.value_info.remove(entry)
    model.graph.node.remove(last)
    model.graph.output.remove(output)
    model.graph.output.append(entry)
    return model


def _infer(model: ModelWrapper) -> ModelWrapper:
    from finn.transformation.fpgadataflow.convert_to_hw.conv_inp_gen import InferConvInpGen
    from finn.transformation.fpgadataflow.convert_to_hw.duplicate_streams import (
        InferDuplicateStreamsLayer,
    )
    from finn.transformation.fpgadataflow.convert_to_hw.elementwise_binary_operation import (
        InferElementwiseBinaryOperation,
    )
    from finn.transformation.fpgadataflow.convert_to_hw.label_select import InferLabelSelectLayer
    from finn.transformation.fpgadataflow.convert_to_hw.pool import InferPool
    from finn.transformation.fpgadataflow.convert_to_hw.quantized_matrix_vector_activation import (
        InferQuantizedMatrixVectorActivation,
    )
    from finn.transformation.fpgadataflow.convert_to_hw.thresholding import InferThresholdingLayer
    from finn.transformation.fpgadataflow.convert_to_hw.vector_vector_activation import (
        InferVectorVectorActivation,
    )
    from finn.transformation.move_reshape import RemoveCNVtoFCFlatten
    from qonnx.transformation.general import RemoveUnusedTensors, SortGraph
    from qonnx.transformation.infer_data_layouts import InferDataLayouts
    from qonnx.transformation.infer_datatypes import InferDataTypes

    for step in (
        InferPool(),
        InferVectorVectorActivation(),
        InferQuantizedMatrixVectorActivation(),
        InferThresholdingLayer(),
        InferConvInpGen(),
        InferElementwiseBinaryOperation(),
        InferLabelSelectLayer(),
        RemoveCNVtoFCFlatten(),
        InferDuplicateStreamsLayer(),
    ):
        named = {node.output[0]: node.name for node in model.get_nodes_by_op_type("Add")}
        model = model.transform(step)
        for node in model.get_nodes_by_op_type("ElementwiseAdd"):
            node.name = node.name or named[node.output[0]]
        model = model.transform(InferDataLayouts()).transform(InferDataTypes())
    return model.transform(RemoveUnusedTensors()).transform(SortGraph())


def _ensure_hardware_only(model: ModelWrapper) -> None:
    from finn.util.fpgadataflow import is_fpgadataflow_node

    for node in model.graph.node:
        if not is_fpgadataflow_node(node):
            raise UnsupportedLayerError(
                f"node `{node.name}` ({node.op_type}) did not become a hardware layer",
                where=f"between tensors `{', '.join(node.input)}` and `{', '.join(node.output)}`",
                why="FINN has no conversion for this operator in this position",
                do="use convolution, max-pool, flatten and fully connected layers in a chain",
            )


def layer_of(model: ModelWrapper, node: NodeProto) -> str:
    """Name of the integer graph's node that a hardware layer belongs to.

    A matrix unit, threshold unit or bias is found by its parameters; a pool by the name FINN kept;
    what only moves data (padding, window, width converter, FIFO) belongs to the next layer. Once
    named, a node remembers its layer in its documentation string.
    """
    current: NodeProto | None = node
    while current is not None:
        if current.doc_string:
            return str(current.doc_string)
        for name in current.input:
            match = re.fullmatch(r"(.+)\.(weights|bias|thresholds)", name)
            if match and model.get_initializer(name) is not None:
                return match.group(1)
        if current.op_type.startswith(("Pool", "LabelSelect", "GlobalAccPool", "ElementwiseAdd")):
            return re.sub(r"^(Pool|LabelSelect)_", "", current.name)
        if current.op_type.startswith("DuplicateStreams"):
            producer = model.find_producer(current.input[0])
            return "input" if producer is None else layer_of(model, producer)
        current = model.find_consumer(current.output[0])
    return "output"


def identifier(text: str) -> str:
    """`text` as a Verilog identifier: dots and other signs become underscores."""
    plain = re.sub(r"\W+", "_", text).strip("_")
    return plain if plain and not plain[0].isdigit() else f"n_{plain}"


def name_nodes(model: ModelWrapper) -> None:
    """Give every hardware layer the name `<layer>_<kind>`, unique, legal in Verilog."""
    for node in reversed(model.graph.node):
        node.doc_string = layer_of(model, node)
    wanted = []
    for node in model.graph.node:
        kind = next((s for op, s in _SUFFIX.items() if node.op_type.startswith(op)), "node")
        wanted.append(f"{identifier(layer_of(model, node))}_{kind}")
    for index, (node, name) in enumerate(zip(model.graph.node, wanted, strict=True)):
        seen = wanted[:index].count(name)
        node.name = name if seen == 0 else f"{name}_{seen}"
