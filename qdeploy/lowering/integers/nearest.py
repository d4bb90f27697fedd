"""Which pixel Resize takes for the nearest: ONNX's definition, in exact arithmetic.

There are many rules. Each is followed for every pixel of the output; those that repeat every pixel
of the input the same number of times are an enlargement by repetition.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from onnx import NodeProto

from qdeploy.lowering.canonical.edit import attributes_of

_HALF = Fraction(1, 2)


@dataclass(frozen=True)
class NearestRule:
    """Attributes of a Resize: from a place of the output to one of the input, and its rounding."""

    transform: str
    rounding: str

    @staticmethod
    def of(node: NodeProto) -> NearestRule:
        """The rule of a Resize from operator set 11 on, or of an Upsample, which has one."""
        if node.op_type == "Upsample":
            return NearestRule("asymmetric", "floor")
        given = attributes_of(node)
        transform, rounding = (
            given.get(key, default).decode(errors="replace")
            for key, default in (
                ("coordinate_transformation_mode", b"half_pixel"),
                ("nearest_mode", b"round_prefer_floor"),
            )
        )
        return NearestRule(transform, rounding)

    def __str__(self) -> str:
        return f"{self.transform:.40}, {self.rounding:.40}"

    def repeats(self, size: int, times: int, scale: Fraction) -> bool:
        """Whether each of `size` pixels is repeated `times` times.

        Args:
            scale: as the file gives it; `times` where it gives sizes.
        """
        for place in range(size * times):
            at = self._coordinate(place, size, size * times, scale)
            if at is None or min(max(self._rounded(at), 0), size - 1) != place // times:
                return False
        return True

    def _coordinate(self, place: int, size: int, count: int, scale: Fraction) -> Fraction | None:
        centre = (place + _HALF) / scale - _HALF
        match self.transform:
            case "asymmetric":
                return place / scale
            case "half_pixel":
                return centre
            case "pytorch_half_pixel":
                return centre if count > 1 else Fraction(0)
            case "half_pixel_symmetric":
                return size * _HALF * (1 - count / (scale * size)) + centre
            case "align_corners":
                return Fraction(place * (size - 1), count - 1) if count > 1 else Fraction(0)
        return None

    def _rounded(self, at: Fraction) -> int:
        match self.rounding:
            case "floor":
                return floor(at)
            case "ceil":
                return ceil(at)
            case "round_prefer_ceil":
                return floor(at + _HALF)
        return ceil(at - _HALF)
