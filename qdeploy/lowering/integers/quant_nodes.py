"""Quantizers of a QONNX file: their parameters, checked, and their effect on constants.

Quant(x) = (round(clip(x / scale + zero_point, lo, hi)) - zero_point) · scale
lo, hi from bits, signed, narrow; the rounding by `rounding_mode` (`quantizer.py`).

BipolarQuant(x), and a signed Quant of one bit, give scale for x >= 0 and -scale below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from qdeploy.ir.integer_graph import IntArray, IntType
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import Constant, QuantizedConstant, Value
from qdeploy.lowering.integers.quantizer import ROUNDINGS, Quantizer, Rounding

MAX_BITS = 16
# Of an input code: what a layer multiplies and a stream carries.
MAX_INPUT_BITS = 16
MAX_CONSTANT_BITS = 32
_RUN_TIME = (
    "thresholds are computed once, before the hardware is built",
    "export the network in evaluation mode, with constants instead",
)


@dataclass(frozen=True)
class QuantParameters:
    """What a quantizer node says.

    Args:
        scale: float32, of any shape that broadcasts over the tensor; not 0.
        lo, hi: of the codes, the zero point included.
        dtype: of these codes.
        zero: the zero point, of any shape that broadcasts over the tensor.
    """

    scale: npt.NDArray[np.float32]
    lo: int
    hi: int
    dtype: IntType
    zero: IntArray
    rounding: Rounding

    @property
    def is_plain(self) -> bool:
        """Whether code 0 means 0, and halves go to the even code."""
        return not self.zero.any() and self.rounding is Rounding.HALF_EVEN

    def quantizers(self) -> list[Quantizer]:
        """One quantizer, or one for each entry of scale or zero point; scales without sign."""
        scales, zeros = np.broadcast_arrays(self.scale, self.zero)
        return [
            Quantizer(abs(Fraction(float(s))), self.lo, self.hi, int(z), self.rounding)
            for s, z in zip(scales.reshape(-1), zeros.reshape(-1), strict=True)
        ]


def quant_parameters(node: NodeProto, values: Mapping[str, Value], most: int) -> QuantParameters:
    """Parameters of a Quant or BipolarQuant node, of at most `most` bits.

    Raises:
        UnsupportedLayerError: parameters that no hardware here implements.
    """
    wanted = 2 if node.op_type == "BipolarQuant" else 4
    constants = [values.get(name) for name in node.input[1:wanted]]
    arrays = [item.array for item in constants if isinstance(item, Constant)]
    if len(arrays) != wanted - 1:
        raise refuse(
            node,
            "its scale, zero point or width is computed at run time",
            why=_RUN_TIME[0],
            do=_RUN_TIME[1],
        )
    scale = arrays[0]
    _check_scale(node, scale)
    scale = scale.astype(np.float32)
    if node.op_type == "BipolarQuant":
        return _bipolar(scale)
    zero, bits = arrays[1:]
    if not np.isfinite(zero).all() or (zero != np.rint(zero)).any():
        raise refuse(
            node,
            f"its quantizer has the zero point {zero.reshape(-1)[0]:g}",
            why="the code of 0 has to be an integer: padding and sums rely on it",
            do="use an integer as zero point",
        )
    attributes = attributes_of(node)
    signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 0))
    width = float(bits.reshape(-1)[0])
    if bits.size != 1 or not 1 <= width <= most or width != int(width):
        raise refuse(
            node,
            f"its quantizer has {width:g} bits{', signed' if signed else ''}",
            do=f"use one width of 1 to {most} bits",
        )
    if signed and width == 1:
        if zero.any():
            raise refuse(
                node,
                f"its quantizer of one signed bit has the zero point {zero.reshape(-1)[0]:g}",
                why="one signed bit means -1 and +1",
                do="use the zero point 0",
            )
        return _bipolar(scale)
    rounding = attributes.get("rounding_mode", b"ROUND").decode(errors="replace").upper()
    if rounding not in ROUNDINGS:
        raise refuse(
            node,
            f"it rounds by {rounding[:40]}",
            why="QONNX has no such rounding mode",
            do=f"use one of {', '.join(ROUNDINGS)}",
        )
    dtype = IntType(int(width), signed)
    lo = dtype.lo + 1 if signed and narrow else dtype.lo
    hi = dtype.hi - 1 if narrow and not signed else dtype.hi
    if lo >= hi:
        raise refuse(
            node,
            "its quantizer has one code only",
            why="an unsigned bit without its upper code is always 0",
            do="use narrow: 0, or more bits",
        )
    if np.abs(zero).max() >= 1 << 31:
        raise refuse(
            node,
            f"its quantizer has the zero point {zero.reshape(-1)[0]:g}",
            why="codes have at most 32 bits",
            do="use a zero point within the codes",
        )
    whole = np.rint(zero).astype(np.int64)
    return QuantParameters(scale, lo, hi, dtype, whole, ROUNDINGS[rounding])


def quantize_constant(
    node: NodeProto, values: Mapping[str, Value], constant: Constant
) -> QuantizedConstant:
    """Codes and scale of a constant after its quantizer, in float32 as in the executor.

    The codes are without their zero point, so that value = scale · code.
    """
    found = quant_parameters(node, values, MAX_CONSTANT_BITS)
    array = constant.array.astype(np.float32)
    if not np.isfinite(array).all():
        raise refuse(node, "its weights are not finite numbers", do="train the network again")
    with np.errstate(over="ignore"):
        # The zero point is added in float32, as the executor does; the rounding itself is exact.
        steps = array / found.scale + found.zero.astype(np.float32)
    if found.rounding is Rounding.SIGN:
        steps = array if node.op_type == "BipolarQuant" else steps
        codes = np.where(steps >= 0, 1, -1).astype(np.int64)
    else:
        if not np.isfinite(steps).all():
            raise refuse(node, "its weights are not finite numbers", do="train the network again")
        inside = np.clip(steps.astype(np.float64), found.lo, found.hi)
        codes = found.rounding.applied(inside).astype(np.int64) - found.zero
    return QuantizedConstant(codes, found.scale)


def _bipolar(scale: npt.NDArray[np.float32]) -> QuantParameters:
    return QuantParameters(scale, -1, 1, IntType(2, True), np.zeros((), np.int64), Rounding.SIGN)


def _check_scale(node: NodeProto, scale: npt.NDArray[np.float32]) -> None:
    bad = scale[~(np.isfinite(scale) & (scale != 0))].reshape(-1)
    if bad.size:
        raise refuse(
            node,
            f"its quantizer has the scale {bad[0]}",
            why="a scale is a finite step size, and not 0",
            do="calibrate or retrain the quantizer",
        )
