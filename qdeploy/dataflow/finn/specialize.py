"""Choose qdeploy's RTL backend for every hardware layer.

FINN's own SpecializeLayers decides by part and falls back to HLS for most of these layers; here
there is one answer: the backend registered as `<Operator>_qd_rtl`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.dataflow.finn.nodes import HARDWARE_DOMAIN, RTL_DOMAIN
from qdeploy.dataflow.finn.operators import SUFFIX, operator_name, operator_of, operators
from qdeploy.lowering.canonical.refusal import ACCEPTED, refuse_layer

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


def specialize(model: ModelWrapper) -> ModelWrapper:
    """Turn every hardware layer into its RTL backend, in place; returns the model.

    Raises:
        UnsupportedLayerError: there is no backend for an operator.
    """
    for node in model.graph.node:
        if node.op_type.endswith(SUFFIX):
            continue
        if operator_of(node.op_type) is None:
            layer = str(node.doc_string).rpartition(".")[0] or node.name
            raise refuse_layer(
                layer,
                node.name,
                node.op_type,
                f"FINN's operator {node.op_type} has no RTL here",
                expected=f"one of {', '.join(one.name for one in operators())}",
                why="each hardware layer is built from Verilog of this project",
                do=f"build the network from {ACCEPTED}",
            )
        node.op_type, node.domain = f"{node.op_type}{SUFFIX}", RTL_DOMAIN
    return model


def despecialize(model: ModelWrapper) -> ModelWrapper:
    """A copy whose layers are FINN's own operators again, with the folding they have now."""
    from qonnx.core.modelwrapper import ModelWrapper

    plain = ModelWrapper(model.model, make_deepcopy=True)
    for node in plain.graph.node:
        node.op_type, node.domain = operator_name(node.op_type), HARDWARE_DOMAIN
    return plain
