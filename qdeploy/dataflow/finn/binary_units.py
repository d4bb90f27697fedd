"""Which matrix units multiply bits.

    requires   RTL backends
    transform  a unit with input codes {0, 1}, weights -1 and +1, and thresholds keeps the
               sums of its weights' rows in its attributes, which makes it an XNOR-popcount unit
    ensures    every other unit is as it was

A unit without thresholds outputs its sums: those stay sums of the codes themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qdeploy.dataflow.finn.nodes import Kind, hw_nodes

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


def mark_binary_units(model: ModelWrapper) -> ModelWrapper:
    """Find the units, in place; returns the model."""
    for layer in hw_nodes(model):
        if layer.kind is not Kind.MATRIX or not layer.has_thresholds:
            continue
        inputs, weights = layer.input(), layer.weights()
        if inputs.bits == 1 and not inputs.signed and (np.abs(weights) == 1).all():
            layer.instance.set_row_sums(weights.sum(axis=0))
    return model
