"""Which matrix units multiply bits.

    requires   RTL backends
    transform  a unit with codes {0, 1} in front, weights -1 and +1 and thresholds behind keeps the
               sums of its weights' rows in its attributes, which makes it an XNOR-popcount unit
    ensures    every other unit is as it was

A unit without thresholds puts its sums out: those stay sums of the codes themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


def mark_binary_units(model: ModelWrapper) -> ModelWrapper:
    """Find the units, in place; returns the model."""
    from qonnx.custom_op.registry import getCustomOp

    for node in model.graph.node:
        if not node.op_type.startswith("MVAU"):
            continue
        inst = getCustomOp(node)
        inputs = inst.get_input_datatype(0)
        if inst.makes_codes() and inputs.bitwidth() == 1 and not inputs.signed():
            weights = model.get_initializer(node.input[1])
            if (np.abs(weights) == 1).all():
                inst.set_row_sums(weights.astype(np.int64).sum(axis=0))
    return model
