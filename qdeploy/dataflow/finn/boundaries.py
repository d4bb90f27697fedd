"""Which hardware layer outputs which boundary of the integer graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.dataflow.finn.nodes import INPUT, PARAMETER, HwNode, layer_of
from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import IntegerGraph, Node, Threshold

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper


def owner_of(model: ModelWrapper, node: NodeProto, graph: IntegerGraph) -> Node:
    """The integer graph's node a hardware layer was made for (the next one for a mover)."""
    name = layer_of(model, node)
    for candidate in graph.nodes:
        if candidate.name == name:
            return candidate
    return graph.nodes[-1]


def boundary_of(model: ModelWrapper, node: NodeProto, graph: IntegerGraph) -> str | None:
    """Tensor name of the boundary a hardware layer outputs, None when it outputs none."""
    layer = HwNode.of(model, node)
    # A mover does not change the tensor; the boundary is where it was made.
    if layer.is_mover or layer.layer == INPUT:
        return None
    owner = owner_of(model, node, graph)
    users = graph.consumers(owner.output)
    absorbed = layer.has_weights and layer.has_thresholds
    if absorbed and len(users) == 1 and isinstance(users[0], Threshold):
        owner = users[0]
    return owner.output if owner.output in graph.boundaries() else None


def computed_nodes(model: ModelWrapper, node: NodeProto, graph: IntegerGraph) -> list[str]:
    """Names of the integer graph's nodes that a hardware layer computes, in their order; for a
    padding or a window the node it serves; none for what carries codes on as they are."""
    layer = HwNode.of(model, node)
    if layer.operator.joins_layers or layer.operator.copies:
        return []
    named = {match.group(1) for name in node.input if (match := PARAMETER.fullmatch(name))}
    found = [one.name for one in graph.nodes if one.name in named]
    return found or [owner_of(model, node, graph).name]


def boundary_nodes(model: ModelWrapper, graph: IntegerGraph) -> dict[str, NodeProto]:
    """Boundary name -> hardware layer that outputs it, in order.

    Raises:
        PassError: a boundary of the graph has no hardware layer.
    """
    found = {}
    for node in model.graph.node:
        name = boundary_of(model, node, graph)
        if name is not None:
            found[name] = node
    missing = [name for name in graph.boundaries() if name not in found]
    if missing:
        raise PassError(f"no hardware layer outputs {', '.join(missing)}")
    return found
