"""QONNX's QuantAvgPool2d: the sum of a window of integers, shifted to the width of its output.

floor(round(AveragePool(x) · kernel²) / 2^shift)
-> AveragePool -> Mul -> Trunc by `shift` bits
shift = bits of kernel² times the largest unsigned code of `ibits`, less `obits`, at least 0
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper

from qdeploy.lowering.canonical.bounds import QONNX_DOMAIN
from qdeploy.lowering.canonical.edit import Edit, attribute
from qdeploy.lowering.canonical.passes import Pass, PassResult

# The first version of the operator set whose Trunc has a scale for its result, and its limits.
_WITH_SCALE = 2
_WIDEST = 32


class QuantAveragePool(Pass):
    """QuantAvgPool2d becomes an average, a factor and a truncation."""

    def call(self, model: ModelProto) -> PassResult:
        edit = Edit(model)
        versions = [item.version for item in model.opset_import if item.domain == QONNX_DOMAIN]
        for node in edit.of_kind("QuantAvgPool2d"):
            edit.replace(node, _written(edit, node, max(versions, default=1)))
        return PassResult(model, edit.apply())


def _written(edit: Edit, node: NodeProto, version: int) -> list[NodeProto]:
    kernel, stride = int(attribute(node, "kernel", 1)), int(attribute(node, "stride", 1))
    widest = ((1 << int(attribute(node, "ibits", 1))) - 1) * kernel * kernel
    shift = max(widest.bit_length() - int(attribute(node, "obits", 1)), 0)
    stem, target = node.name or node.output[0], node.output[0]
    mean, total, cut = f"{target}_mean", f"{target}_sum", f"{target}_cut"

    def constant(key: str, value: float) -> str:
        return edit.add_constant(f"{target}_{key}", np.float32(value))

    new = [
        helper.make_node(
            "AveragePool",
            [node.input[0]],
            [mean],
            f"{stem}AveragePool",
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
        ),
        helper.make_node("Mul", [mean, constant("pixels", kernel * kernel)], [total], f"{stem}Mul"),
    ]
    parameters = [constant("scale", 1), constant("zero_point", 0), constant("bits", shift + 1)]
    if version < _WITH_SCALE:
        parameters.append(constant("bits_after", 1))
        result, how = target, {}
    else:
        parameters += [constant("unit", 1 << shift), constant("bits_after", _WIDEST)]
        result, how = cut, {"signed": 1, "narrow": 0}
    new.append(
        helper.make_node(
            "Trunc",
            [total, *parameters],
            [result],
            f"{stem}Trunc",
            domain=QONNX_DOMAIN,
            rounding_mode="FLOOR",
            **how,
        )
    )
    if result == cut:
        share = constant("share", 1 / (1 << shift))
        new.append(helper.make_node("Mul", [cut, share], [target], f"{stem}Share"))
    return new
