"""Resize by one factor for each axis: files may give the size of the result, its batch axis among
them, or factors of some axes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from onnx import ModelProto, NodeProto

from qdeploy.lowering.canonical.edit import Edit, attribute
from qdeploy.lowering.canonical.passes import Pass, PassResult

# Place of the sizes among the inputs, and attributes that mean nothing without them.
_SIZES = 3
_OF_SIZES = ("axes", "keep_aspect_ratio_policy")


class ResizeByFactors(Pass):
    """Sizes become factors of all axes, where these are integers: a frame has them whatever its
    batch."""

    def call(self, model: ModelProto) -> PassResult:
        edit = Edit(model)
        modified = False
        for node in edit.of_kind("Resize"):
            factors = _factors(edit, node)
            if factors is not None:
                scales = edit.add_constant(f"{node.output[0]}_scales", factors)
                node.input[:] = [node.input[0], node.input[1], scales]
                for item in [a for a in node.attribute if a.name in _OF_SIZES]:
                    node.attribute.remove(item)
                modified = True
        edit.apply()
        return PassResult(model, modified)


def _factors(edit: Edit, node: NodeProto) -> np.ndarray | None:
    """The factor of each axis as float32; None where they are there, or where one is no integer."""
    sizes = len(node.input) > _SIZES and node.input[_SIZES]
    if not sizes and attribute(node, "axes") is None:
        return None
    before, after = edit.shape(node.input[0]), edit.shape(node.output[0])
    if not before or len(before) != len(after) or min(*before, *after) < 1:
        return None
    factors = [Fraction(b, a) for a, b in zip(before, after, strict=True)]
    if any(factor.denominator != 1 for factor in factors):
        return None
    return np.array([float(factor) for factor in factors], dtype=np.float32)
