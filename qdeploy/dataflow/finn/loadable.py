"""Which layers have memories that the configuration stream writes: all that have parameters.

requires   RTL backends, widths that hold any weights (`ir.any_weights`)
transform  layers with weights, thresholds or a bias get the attribute `loadable`
ensures    their memories are written at run time; the Verilog depends on no number in them
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeploy.dataflow.finn.nodes import LOADABLE, hw_nodes

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


def mark_loadable(model: ModelWrapper) -> ModelWrapper:
    """Mark the layers, in place; returns the model."""
    constants = {item.name for item in model.graph.initializer}
    for layer in hw_nodes(model):
        if any(name in constants for name in layer.node.input):
            layer.instance.set_nodeattr(LOADABLE, 1)
    return model


def is_loadable(model: ModelWrapper) -> bool:
    """Whether any layer has memories that are written at run time."""
    return any(layer.integer(LOADABLE) for layer in hw_nodes(model))
