"""What a quantizer node of a QONNX file says, read and applied with nothing from the lowering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray

QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant")
HALF = Fraction(1, 2)


def _sign(u: Fraction) -> int:
    return 1 if u >= 0 else -1


_EXACT: Mapping[str, Callable[[Fraction], int]] = {
    "ROUND": round,
    "HALF_EVEN": round,
    "CEIL": ceil,
    "FLOOR": floor,
    "UP": lambda u: _sign(u) * ceil(abs(u)),
    "DOWN": lambda u: _sign(u) * floor(abs(u)),
    "ROUND_TO_ZERO": lambda u: _sign(u) * floor(abs(u)),
    "HALF_UP": lambda u: _sign(u) * floor(abs(u) + HALF),
    "HALF_DOWN": lambda u: _sign(u) * ceil(abs(u) - HALF),
    "SIGN": _sign,  # BipolarQuant: of the value itself
    "BIT": _sign,  # a signed Quant of one bit
}
# Distance from a code q to the lower end of the values that become it: q <= 0, and q > 0.
_BELOW = {"CEIL": (1, 1), "FLOOR": (0, 0), "UP": (0, 1), "DOWN": (1, 0), "ROUND_TO_ZERO": (1, 0)}


@dataclass(frozen=True)
class QuantizerNumbers:
    """value = scale · (code - zero), codes lo … hi."""

    scale: Fraction
    zero: Fraction
    lo: int
    hi: int
    rounding: str = "ROUND"

    def steps(self, value: Fraction) -> Fraction:
        """A value in units of code; BipolarQuant does not divide by its scale."""
        return value if self.rounding == "SIGN" else value / self.scale + self.zero

    def code(self, value: Fraction) -> int:
        """The code of a value."""
        return min(max(_EXACT[self.rounding](self.steps(value)), self.lo), self.hi)

    def code_of(self, output: Fraction) -> Fraction:
        """The code that an output of the quantizer stands for; a whole number if it is one."""
        return output / self.scale + self.zero

    def distance(self, value: Fraction, expected: int, found: int) -> Fraction:
        """How far a value is from those that become `found`, in units of code.

        A sign has no unit: the value itself, in units of the scale.
        """
        if self.rounding in ("SIGN", "BIT"):
            return abs(value / self.scale)
        # `found` has to be left at its lower edge, or entered at the lower edge of the code above.
        code = found if found > expected else found + 1
        return abs(self.steps(value) - (code - self._below(code)))

    def _below(self, code: int) -> Fraction:
        below = _BELOW.get(self.rounding)
        return HALF if below is None else Fraction(below[code > 0])


def read_numbers(
    op_type: str, arrays: list[npt.NDArray[Any]], attributes: Mapping[str, Any], channel: int
) -> QuantizerNumbers:
    """The numbers of a quantizer node for one channel.

    Args:
        arrays: scale, and but for BipolarQuant zero point and bits.
    """
    scale = _entry(arrays[0], channel)
    if op_type == "BipolarQuant":
        return QuantizerNumbers(scale, Fraction(0), -1, 1, "SIGN")
    bits, signed = int(arrays[2].reshape(-1)[0]), bool(attributes.get("signed", 1))
    lo, hi = _code_range(bits, signed, bool(attributes.get("narrow", 0)))
    rounding = attributes.get("rounding_mode", b"ROUND").decode().upper()
    zero = _entry(arrays[1], channel)
    if signed and bits == 1:
        # The sign of the value over the scale, as the executor has it.
        return QuantizerNumbers(scale, zero, -1, 1, "BIT")
    return QuantizerNumbers(scale, zero, lo, hi, rounding)


def constant_codes(
    op_type: str,
    values: npt.NDArray[np.float32],
    arrays: list[npt.NDArray[Any]],
    attributes: Mapping[str, Any],
) -> IntArray:
    """Codes of a quantized constant without their zero point.

    Steps are made in float32, as every engine of the file makes them; their rounding is exact.
    """
    scale = arrays[0].astype(np.float32)
    if op_type == "BipolarQuant":
        return np.where(values >= 0, 1, -1).astype(np.int64)
    zero = arrays[1].astype(np.float32)
    numbers = read_numbers(op_type, arrays, attributes, 0)
    steps = np.float32(values / scale) + zero
    if numbers.rounding == "BIT":
        return np.where(steps >= 0, 1, -1).astype(np.int64)
    inside = np.clip(steps.astype(np.float64), numbers.lo, numbers.hi)
    rounded = np.array(
        [_EXACT[numbers.rounding](Fraction(float(one))) for one in inside.reshape(-1)],
        dtype=np.int64,
    )
    codes: IntArray = rounded.reshape(inside.shape) - np.rint(zero).astype(np.int64)
    return codes


def _entry(array: npt.NDArray[Any], channel: int) -> Fraction:
    flat = array.reshape(-1)
    return Fraction(float(flat[channel if flat.size > 1 else 0]))


def _code_range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """Codes of an integer quantizer of the QONNX specification."""
    if not signed:
        return 0, (1 << bits) - (2 if narrow else 1)
    return -(1 << (bits - 1)) + int(narrow), (1 << (bits - 1)) - 1
