"""What a quantizer node of a QONNX file says, read and applied with nothing from the lowering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, isfinite, log2
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray

QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant", "MultiThreshold", "Trunc")
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

    @property
    def unit(self) -> Fraction:
        """What distances count in."""
        return abs(self.scale)

    def output(self, code: int) -> Fraction:
        """The value of a code."""
        return self.scale * (code - self.zero)

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


@dataclass(frozen=True)
class CountNumbers:
    """value = scale · #{k : x >= table[k]} + bias, `table` sorted: MultiThreshold."""

    table: tuple[Fraction | float, ...]
    scale: Fraction
    bias: Fraction

    @property
    def unit(self) -> Fraction:
        """What distances count in."""
        return abs(self.scale)

    def output(self, code: int) -> Fraction:
        """The value of a code."""
        return self.scale * code + self.bias

    def code(self, value: Fraction) -> int:
        """The code of a value."""
        return sum(value >= edge for edge in self.table)

    def code_of(self, output: Fraction) -> Fraction:
        """The code that an output stands for."""
        return (output - self.bias) / self.scale

    def distance(self, value: Fraction, expected: int, found: int) -> Fraction:
        """How far a value is from those that become `found`, in units of the scale."""
        edge = self.table[found - 1 if found > expected else found]
        if not isinstance(edge, Fraction):
            return Fraction(1 << 128)  # An infinite threshold is near no value.
        return abs(value - edge) / self.unit


@dataclass(frozen=True)
class TruncNumbers:
    """value = step · (clip(r(y / 2^shift)) - zero), y = round(x / scale + start): Trunc."""

    scale: Fraction
    start: Fraction
    shift: int
    step: Fraction
    zero: Fraction
    ends: tuple[int, int] | None
    rounding: str

    @property
    def unit(self) -> Fraction:
        """What distances count in."""
        return self.scale

    def output(self, code: int) -> Fraction:
        """The value of a code."""
        return self.step * (code - self.zero)

    def code(self, value: Fraction) -> int:
        """The code of a value."""
        return self._of_whole(round(value / self.scale + self.start))

    def code_of(self, output: Fraction) -> Fraction:
        """The code that an output stands for."""
        return output / self.step + self.zero

    def distance(self, value: Fraction, expected: int, found: int) -> Fraction:
        """How far a value is from those that become `found`, in units of the scale."""
        steps = value / self.scale + self.start
        whole = round(steps)
        # The nearest integer that becomes `found`, or a code beyond it.
        size, up = 1, found > expected
        near, far = whole, whole
        while (self._of_whole(far) < found) if up else (self._of_whole(far) > found):
            near, far = far, far + size if up else far - size
            size *= 2
        while abs(far - near) > 1:
            middle = (near + far) // 2
            there = self._of_whole(middle) >= found if up else self._of_whole(middle) <= found
            near, far = (near, middle) if there else (middle, far)
        return abs(steps - (far - HALF if up else far + HALF))

    def _of_whole(self, whole: int) -> int:
        code = _EXACT[self.rounding](Fraction(whole) / Fraction(2) ** self.shift)
        return code if self.ends is None else min(max(code, self.ends[0]), self.ends[1])


Numbers: TypeAlias = QuantizerNumbers | CountNumbers | TruncNumbers


def read_node(
    op_type: str, arrays: list[npt.NDArray[Any]], attributes: Mapping[str, Any], channel: int
) -> Numbers:
    """The numbers of a quantizer node of any kind for one channel.

    Args:
        arrays: its inputs but the first.
    """
    if op_type == "MultiThreshold":
        row = arrays[0][channel if len(arrays[0]) > 1 else 0].tolist()
        finite = [Fraction(edge) if isfinite(edge) else edge for edge in row]
        step, bias = (
            Fraction(float(attributes.get(key, default)))
            for key, default in (("out_scale", 1.0), ("out_bias", 0.0))
        )
        return CountNumbers(tuple(sorted(finite)), step, bias)
    if op_type == "Trunc":
        return _truncation(arrays, attributes, channel)
    return read_numbers(op_type, arrays, attributes, channel)


def _truncation(
    arrays: list[npt.NDArray[Any]], attributes: Mapping[str, Any], channel: int
) -> TruncNumbers:
    scale, zero, before = (_entry(array, channel) for array in arrays[:3])
    bits = int(arrays[-1].reshape(-1)[0])
    rounding = attributes.get("rounding_mode", b"FLOOR").decode().upper()
    if len(arrays) == 4:
        return TruncNumbers(scale, zero, int(before) - bits, scale, zero, None, rounding)
    step = _entry(arrays[3], channel)
    shift = round(log2(np.float32(float(step)) / np.float32(float(scale))))
    signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 0))
    ends = _code_range(bits, signed, narrow)
    return TruncNumbers(scale, zero, shift, step, zero / Fraction(2) ** shift, ends, rounding)


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
