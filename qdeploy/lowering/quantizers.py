"""Quant nodes of a QONNX file: their parameters, checked, and their effect on constants.

Quant(x) = (clip(round_half_even(x / scale + zero_point), lo, hi) - zero_point) · scale
lo, hi from bits, signed, narrow; accepted with zero point 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

from qdeploy.lowering.affine import Constant, QuantizedConstant, Value
from qdeploy.lowering.integer_graph import IntType
from qdeploy.lowering.refusal import refuse

MAX_BITS = 8
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
        UnsupportedLayerError: parameters no hardware here follows.
    """
    constants = [values.get(name) for name in node.input[1:4]]
    arrays = [item.array for item in constants if isinstance(item, Constant)]
    if len(arrays) != 3:
        raise refuse(node, "its scale, zero point or width is computed at run time")
    scale, zero, bits = arrays
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    rounding = attributes.get("rounding_mode", b"ROUND").decode().upper()
    if rounding not in ("ROUND", "HALF_EVEN"):
        raise refuse(
            node,
            f"it rounds by {rounding}",
            why="thresholds are derived for rounding to nearest, ties to even",
            do="use rounding_mode ROUND",
        )
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        bad = scale[~(np.isfinite(scale) & (scale > 0))].reshape(-1)[0]
        raise refuse(
            node,
            f"its quantizer has the scale {bad}",
            why="a scale is a positive, finite step size",
            do="calibrate or retrain the quantizer",
        )
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
    if bits.size != 1 or width != int(width) or not lowest <= width <= most:
        raise refuse(
            node,
            f"its quantizer has {width:g} bits{' with sign' if signed else ''}",
            do=f"use one width of {lowest} to {most} bits",
        )
    dtype = IntType(int(width), signed)
    lo = dtype.lo + 1 if signed and narrow else dtype.lo
    hi = dtype.hi - 1 if narrow and not signed else dtype.hi
    return QuantParameters(scale.astype(np.float32), lo, hi, dtype)


def quantize_constant(
    node: NodeProto, values: Mapping[str, Value], constant: Constant
) -> QuantizedConstant:
    """Codes and scale of a constant behind a Quant node, in float32 as the executor computes."""
    found = quant_parameters(node, values, MAX_CONSTANT_BITS)
    steps = constant.array.astype(np.float32) / found.scale
    if not np.isfinite(steps).all():
        raise refuse(node, "its weights are not finite numbers", do="train the network again")
    codes = np.clip(np.rint(steps.astype(np.float64)), found.lo, found.hi).astype(np.int64)
    return QuantizedConstant(codes, found.scale)
