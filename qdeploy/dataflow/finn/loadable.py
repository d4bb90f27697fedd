"""Which layers have memories that the configuration stream writes: all that have parameters.

requires   RTL backends, widths that hold any weights (`ir.any_weights`)
transform  layers with weights, thresholds or a bias get the attribute `loadable`
ensures    their memories are written at run time; the Verilog depends on no number in them
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qdeploy.dataflow.finn.nodes import LOADABLE, ROW_SUMS, Kind, hw_nodes
from qdeploy.errors import InternalError, UserError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


def mark_loadable(model: ModelWrapper) -> ModelWrapper:
    """Mark the layers, in place; returns the model."""
    constants = {item.name for item in model.graph.initializer}
    for layer in hw_nodes(model):
        if any(name in constants for name in layer.node.input):
            layer.instance.set_nodeattr(LOADABLE, 1)
    return model


def take_numbers(model: ModelWrapper, other: ModelWrapper) -> ModelWrapper:
    """Give folded layers the parameters that the same layers have in another model, in place;
    returns the model. Types stay: they are what the memories hold.

    Raises:
        UserError: a layer that multiplies bits is to have weights other than -1 and +1.
        InternalError: the models are not of one network's shape.
    """
    given = {layer.name: layer for layer in hw_nodes(other)}
    for layer in hw_nodes(model):
        if not layer.integer(LOADABLE):
            continue
        source = given[layer.name]
        for mine, its in zip(layer.node.input, source.node.input, strict=True):
            values, numbers = model.get_initializer(mine), other.get_initializer(its)
            if (values is None) != (numbers is None) or np.shape(values) != np.shape(numbers):
                raise InternalError(f"`{layer.name}` has parameters of another shape")
            if numbers is not None:
                model.set_initializer(mine, numbers)
        if layer.kind is Kind.MATRIX and layer.integers(ROW_SUMS):
            if not source.integers(ROW_SUMS):
                raise UserError(
                    "the weights of a layer that multiplies bits are not all -1 and +1",
                    where=f"layer `{layer.layer}`",
                    do="give a network trained by the same recipe",
                )
            layer.instance.set_nodeattr(ROW_SUMS, list(source.integers(ROW_SUMS)))
    return model
