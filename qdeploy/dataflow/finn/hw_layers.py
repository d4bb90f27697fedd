"""FINN's hardware layers from FINN's dialect of ONNX, through FINN's own passes.

    requires   integer nodes only (the integer graph made them), one input, one output
    transform  channels last (`channels_last.py`); then each node to its hardware layer, thresholds
               inside the matrix unit that feeds them, and a unit that copies where streams fork
    ensures    every node is a hardware layer, named after the recipe's layer

FINN's streamlining is not needed: what it would move (scales, biases, batch norm) was turned into
integer thresholds exactly before, so only its inference of layers is left to run, each pass to a
fixpoint within a bound (`passes.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.dataflow.finn import env as finn_env
from qdeploy.dataflow.finn.channels_last import channels_last
from qdeploy.dataflow.finn.names import distinct, identifier
from qdeploy.dataflow.finn.nodes import layer_of
from qdeploy.dataflow.finn.operators import LayerFrom, Turn, operator_of, operators
from qdeploy.lowering.canonical.refusal import ACCEPTED, refuse_layer

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper


# What FINN may leave over: the pattern that was expected, why, and what to change.
_LEFT_OVER = {
    "Flatten": (
        "codes of a feature map -> Flatten -> Linear",
        "a map is streamed pixel by pixel, channels together; only a Linear's weights can be "
        "permuted to that order",
        "flatten directly before the Linear, and quantize or add before the Flatten",
    ),
    "Transpose": (
        "feature maps as (N, C, H, W) from the first layer to the last",
        "pixels are streamed row by row with their channels together; other orders would have to "
        "buffer a whole frame",
        "remove the operators that change the order of the axes",
    ),
}
_NO_UNIT = (
    "a sequence of convolutions, fully connected layers, sums, pools and thresholds of integers",
    "FINN has no conversion for this operator between its neighbours",
    "build the network from " + ACCEPTED,
)


def to_hw_layers(model: ModelWrapper) -> ModelWrapper:
    """Run FINN's conversion on a model made by `graph.to_finn`.

    Raises:
        UnsupportedLayerError: a node is left that is no hardware layer; names it and its layer.
        PassError: one of FINN's passes reached no fixpoint.
    """
    finn_env.prepare()
    model = _infer(channels_last(model))
    _ensure_hardware_only(model)
    name_nodes(model)
    return model


def _infer(model: ModelWrapper) -> ModelWrapper:
    from qonnx.transformation.general import SortGraph
    from qonnx.transformation.infer_data_layouts import InferDataLayouts

    from qdeploy.dataflow.finn.passes import forget_unused, run_to_fixpoint

    model = run_to_fixpoint(model, [InferDataLayouts()])
    made_by = {name: node.name for node in model.graph.node for name in node.output}
    found = [one.inference for one in operators() if one.inference is not None]
    found.sort(key=lambda inference: inference.turn)
    model = run_to_fixpoint(model, [one.transformation() for one in found if one.turn < Turn.FORKS])
    for node in model.graph.node:
        operator = operator_of(node.op_type)
        if operator is not None and operator.layer_from is LayerFrom.NAME:
            # FINN drops or changes the names of what it replaces.
            node.name = made_by[node.output[0]] or node.name
    _drop_flatten(model)
    forks = [one.transformation() for one in found if one.turn >= Turn.FORKS]
    model = run_to_fixpoint(model, [*forks, SortGraph()])
    forget_unused(model)
    return model


def _drop_flatten(model: ModelWrapper) -> None:
    """A vector streams as the pixels it was made of: nothing to do between hardware layers."""
    from finn.util.fpgadataflow import is_fpgadataflow_node

    for node in model.get_nodes_by_op_type("Flatten"):
        source, result = node.input[0], node.output[0]
        producer, users = model.find_producer(source), model.find_consumers(result)
        around = users if producer is None else [producer, *users]
        if producer is not None and _leaves_one_pixel(producer) and not users:
            _end_at(model, source)
            model.graph.node.remove(node)
            continue
        if not users or not all(is_fpgadataflow_node(item) for item in around):
            continue
        for user in users:
            user.input[:] = [source if name == result else name for name in user.input]
        model.graph.node.remove(node)


def _leaves_one_pixel(node: NodeProto) -> bool:
    operator = operator_of(node.op_type)
    return operator is not None and operator.one_pixel


def _end_at(model: ModelWrapper, name: str) -> None:
    """Make a tensor of one pixel the output, in place of its Flatten."""
    graph = model.graph
    entry = next(item for item in graph.value_info if item.name == name)
    graph.value_info.remove(entry)
    del graph.output[:]
    graph.output.append(entry)


def _ensure_hardware_only(model: ModelWrapper) -> None:
    from finn.util.fpgadataflow import is_fpgadataflow_node

    left = [node for node in model.graph.node if not is_fpgadataflow_node(node)]
    if not left:
        return
    # Transposes without a name were inserted before the node that cannot be converted.
    node = next((item for item in left if item.name), left[0])
    expected, why, do = _LEFT_OVER.get(node.op_type, _NO_UNIT)
    name = str(node.name) or layer_of(model, node)
    raise refuse_layer(
        name.rpartition(".")[0] or name,
        name,
        node.op_type,
        f"no hardware unit implements a {node.op_type} at this place",
        expected=expected,
        why=why,
        do=do,
    )


def name_nodes(model: ModelWrapper) -> None:
    """Give every hardware layer the name `<layer>_<kind>`, unique and legal in Verilog, and every
    stream the name of the layer that makes it."""
    for node in reversed(model.graph.node):
        node.doc_string = layer_of(model, node)
    wanted = []
    for node in model.graph.node:
        operator = operator_of(node.op_type)
        suffix = "node" if operator is None else operator.suffix
        wanted.append(f"{identifier(layer_of(model, node))}_{suffix}")
    for node, name in zip(model.graph.node, distinct(wanted), strict=True):
        node.name = name
    _name_streams(model)


def _name_streams(model: ModelWrapper) -> None:
    """Call every stream after the layer that puts it out: FINN's own names are random, and the same
    network has to give the same files."""
    graph = model.graph
    ends = {item.name for item in graph.output}
    named = {
        tensor: f"{node.name}_out{index or ''}"
        for node in graph.node
        for index, tensor in enumerate(node.output)
        if tensor not in ends
    }
    for node in graph.node:
        node.input[:] = [named.get(name, name) for name in node.input]
        node.output[:] = [named.get(name, name) for name in node.output]
    for item in graph.value_info:
        item.name = named.get(item.name, item.name)
    for note in graph.quantization_annotation:
        note.tensor_name = named.get(note.tensor_name, note.tensor_name)
