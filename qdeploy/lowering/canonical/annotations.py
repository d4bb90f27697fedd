"""FINN's dialect: integer weights that only an annotation declares become quantized ones.

    constant integers, annotated INTn, UINTn, BIPOLAR, TERNARY -> Conv, MatMul
                                                  a Quant of scale 1 in between

An annotation of the input says what raw values mean; the input's own code reads it.
"""

from __future__ import annotations

import re

import numpy as np
from onnx import ModelProto, helper

from qdeploy.lowering.canonical.bounds import QONNX_DOMAIN
from qdeploy.lowering.canonical.edit import Array, Edit
from qdeploy.lowering.canonical.passes import Pass, PassResult
from qdeploy.lowering.canonical.qonnx_functions import infer_shapes

_INTEGER = re.compile(r"(U?)INT(\d{1,2})")
_MOST_BITS = 16
TYPE_KEY = "finn_datatype"


class AnnotatedWeights(Pass):
    """Constant integers with a declared type go through a quantizer that keeps them."""

    def call(self, model: ModelProto) -> PassResult:
        edit, types, notes = Edit(model), datatypes(model), []
        for node in edit.of_kind("Conv", "MatMul"):
            if len(node.input) < 2 or not edit.is_constant(node.input[1]):
                continue
            weights = edit.constant(node.input[1])
            kind = types.get(node.input[1])
            bits = None if weights is None or kind is None else _bits(kind, weights)
            if weights is None or bits is None:
                continue
            stem = f"{node.output[0]}_weights"
            bipolar = kind == "BIPOLAR" and bool((np.abs(weights) == 1).all())
            if kind == "BIPOLAR" and not bipolar:
                notes.append(
                    f"the weights `{node.input[1]}` are annotated BIPOLAR and hold other integers "
                    "than -1 and +1: they are taken as they are"
                )
            names = [edit.add_constant(f"{stem}_scale", np.float32(1))]
            if not bipolar:
                names.append(edit.add_constant(f"{stem}_zero_point", np.float32(0)))
                names.append(edit.add_constant(f"{stem}_bit_width", np.float32(bits)))
            attributes = {} if bipolar else {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
            quantizer = helper.make_node(
                "BipolarQuant" if bipolar else "Quant",
                [node.input[1], *names],
                [stem],
                f"{node.name or node.output[0]}_weights",
                domain=QONNX_DOMAIN,
                **attributes,
            )
            copy = type(node).FromString(node.SerializeToString())
            copy.input[1] = stem
            edit.replace(node, [quantizer, copy])
        if not edit.apply():
            return PassResult(model, False)
        return PassResult(infer_shapes(model), True, notes=tuple(notes))


def datatypes(model: ModelProto) -> dict[str, str]:
    """FINN's data type of each tensor that has an annotation."""
    return {
        item.tensor_name: pair.value
        for item in model.graph.quantization_annotation
        for pair in item.quant_parameter_tensor_names
        if pair.key == TYPE_KEY
    }


def _bits(kind: str, weights: Array) -> int | None:
    """Signed bits that hold the weights; None where the type is no integer's, or they are none."""
    if not np.isfinite(weights).all() or (weights != np.rint(weights)).any():
        return None
    found = _INTEGER.fullmatch("INT2" if kind in ("TERNARY", "BIPOLAR") else kind)
    if found is None:
        return None
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    bits = max((-low - 1).bit_length() if low < 0 else 0, max(high, 0).bit_length()) + 1
    return max(bits, 2) if bits <= _MOST_BITS else None
