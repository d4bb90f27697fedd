"""Quantizers of a QONNX file: their parameters, checked, and their effect on constants.

Quant(x) = (clip(round_half_even(x / scale + zero_point), lo, hi) - zero_point) · scale
lo, hi from bits, signed, narrow; accepted with zero point 0.

BipolarQuant(x), and a signed Quant of one bit, give scale for x >= 0 and -scale below: weights +1
and -1. As activations they are refused: none of their codes means 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

from qdeploy.ir.integer_graph import IntType
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import Constant, QuantizedConstant, Value

MAX_BITS = 8
# Of an input code: what a layer multiplies and a stream carries.
MAX_INPUT_BITS = 16
MAX_CONSTANT_BITS = 32


@dataclass(frozen=True)
class QuantParameters:
    """Scale (float32, any broadcastable shape), range and type of a Quant node."""

    scale: npt.NDArray[np.float32]
    lo: int
    hi: int
    dtype: IntType


def quant_parameters(node: NodeProto, values: Mapping[str, Value], most: int) -> QuantParameters:
    """Parameters of a Quant node, of at most `most` bits.

    Raises:
        UnsupportedLayerError: parameters that no hardware here implements.
    """
    constants = [values.get(name) for name in node.input[1:4]]
    arrays = [item.array for item in constants if isinstance(item, Constant)]
    if len(arrays) != 3:
        raise refuse(
            node,
            "its scale, zero point or width is computed at run time",
            why="thresholds are computed once, before the hardware is built",
            do="export the network in evaluation mode, with constants instead",
        )
    scale, zero, bits = arrays
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    rounding = attributes.get("rounding_mode", b"ROUND").decode(errors="replace").upper()
    if rounding not in ("ROUND", "HALF_EVEN"):
        raise refuse(
            node,
            f"it rounds by {rounding}",
            why="thresholds are derived for rounding to nearest, ties to even",
            do="use rounding_mode ROUND",
        )
    _check_scale(node, scale)
    if np.any(zero != 0):
        raise refuse(
            node,
            f"its quantizer has the zero point {zero.reshape(-1)[0]:g}",
            why="code 0 has to mean 0: padding and sums rely on it",
            do="use a symmetric or unsigned quantizer with zero point 0",
        )
    signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 0))
    width = float(bits.reshape(-1)[0])
    lowest = 2 if signed else 1
    if bits.size != 1 or not lowest <= width <= most or width != int(width):
        raise refuse(
            node,
            f"its quantizer has {width:g} bits{', signed' if signed else ''}",
            do=f"use one width of {lowest} to {most} bits",
        )
    dtype = IntType(int(width), signed)
    lo = dtype.lo + 1 if signed and narrow else dtype.lo
    hi = dtype.hi - 1 if narrow and not signed else dtype.hi
    return QuantParameters(scale.astype(np.float32), lo, hi, dtype)


def quantize_constant(
    node: NodeProto, values: Mapping[str, Value], constant: Constant
) -> QuantizedConstant:
    """Codes and scale of a constant after its Quant node, in float32 as in the executor."""
    if node.op_type == "BipolarQuant" or _is_signed_bit(node, values):
        return _bipolar(node, values, constant)
    found = quant_parameters(node, values, MAX_CONSTANT_BITS)
    steps = constant.array.astype(np.float32) / found.scale
    if not np.isfinite(steps).all():
        raise refuse(node, "its weights are not finite numbers", do="train the network again")
    codes = np.clip(np.rint(steps.astype(np.float64)), found.lo, found.hi).astype(np.int64)
    return QuantizedConstant(codes, found.scale)


def _check_scale(node: NodeProto, scale: npt.NDArray[np.float32]) -> None:
    bad = scale[~(np.isfinite(scale) & (scale > 0))].reshape(-1)
    if bad.size:
        raise refuse(
            node,
            f"its quantizer has the scale {bad[0]}",
            why="a scale is a positive, finite step size",
            do="calibrate or retrain the quantizer",
        )


def _is_signed_bit(node: NodeProto, values: Mapping[str, Value]) -> bool:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    bits = values.get(node.input[3]) if len(node.input) > 3 else None
    one = isinstance(bits, Constant) and bool((bits.array == 1).all())
    return one and bool(attributes.get("signed", 1))


def _bipolar(node: NodeProto, values: Mapping[str, Value], constant: Constant) -> QuantizedConstant:
    scale = values.get(node.input[1])
    if not isinstance(scale, Constant):
        raise refuse(node, "its scale is computed at run time", do="export a constant scale")
    _check_scale(node, scale.array)
    if not np.isfinite(constant.array).all():
        raise refuse(node, "its weights are not finite numbers", do="train the network again")
    codes = np.where(constant.array >= 0, 1, -1).astype(np.int64)
    return QuantizedConstant(codes, scale.array.astype(np.float32))
