"""A uniform quantizer in exact terms: where its code changes, and what its codes mean.

    u = v / scale + zero,    q = clip(round(u), lo, hi),    value = scale · (q - zero)

(the executor of QONNX clips before it rounds; lo and hi are integers and rounding is monotone, so
the order does not matter). The integer on the wire is m = q - zero in [lo - zero, hi - zero]: code
0 always means 0, so padding and sums stay exact whatever the zero point is.

For lo < k <= hi, q >= k holds exactly when u is beyond an edge, included or not:

    rounding     k <= 0              k >= 1
    HALF_EVEN    k - 1/2, included when k is even
    HALF_UP      k - 1/2 excluded    k - 1/2 included    halves away from zero
    HALF_DOWN    k - 1/2 included    k - 1/2 excluded    halves towards zero
    CEIL         k - 1 excluded
    FLOOR        k included
    UP           k included          k - 1 excluded      away from zero
    DOWN         k - 1 excluded      k included          towards zero
    SIGN         0 included: codes -1 and +1, none between (BipolarQuant)

Half, away and towards are meant of u, so of the code with its zero point, as in the executor.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray

BoolArray = npt.NDArray[np.bool_]


class Rounding(Enum):
    """How u becomes an integer; values are the names in QONNX files."""

    HALF_EVEN = "HALF_EVEN"
    HALF_UP = "HALF_UP"
    HALF_DOWN = "HALF_DOWN"
    CEIL = "CEIL"
    FLOOR = "FLOOR"
    UP = "UP"
    DOWN = "DOWN"
    SIGN = "SIGN"

    def applied(self, steps: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Floats rounded as the executor rounds them."""
        match self:
            case Rounding.HALF_EVEN:
                return np.rint(steps)
            case Rounding.CEIL:
                return np.ceil(steps)
            case Rounding.FLOOR:
                return np.floor(steps)
            case Rounding.UP:
                return np.asarray(np.sign(steps) * np.ceil(np.abs(steps)))
            case Rounding.DOWN:
                return np.fix(steps)
            case Rounding.HALF_UP:
                return np.asarray(np.sign(steps) * np.floor(np.abs(steps) + 0.5))
            case Rounding.HALF_DOWN:
                return np.asarray(np.sign(steps) * np.ceil(np.abs(steps) - 0.5))
            case Rounding.SIGN:
                return np.where(steps >= 0, 1.0, -1.0)


# Other names of the same.
ROUNDINGS = {mode.value: mode for mode in Rounding if mode is not Rounding.SIGN} | {
    "ROUND": Rounding.HALF_EVEN,
    "ROUND_TO_ZERO": Rounding.DOWN,
}


@dataclass(frozen=True)
class Quantizer:
    """Codes q in lo..hi of a uniform quantizer: value = scale · (q - zero); `scale` > 0."""

    scale: Fraction
    lo: int
    hi: int
    zero: int = 0
    rounding: Rounding = Rounding.HALF_EVEN

    @property
    def levels(self) -> IntArray:
        """The codes with an edge below them: lo + 1 … hi."""
        return np.arange(self.lo + 1, self.hi + 1, dtype=np.int64)

    def edges(self, levels: IntArray) -> tuple[IntArray, BoolArray]:
        """Twice the edges of u below some codes, and which of the edges belong to the code."""
        k, above = levels, levels >= 1
        match self.rounding:
            case Rounding.HALF_EVEN:
                return 2 * k - 1, k % 2 == 0
            case Rounding.HALF_UP:
                return 2 * k - 1, above
            case Rounding.HALF_DOWN:
                return 2 * k - 1, ~above
            case Rounding.CEIL:
                return 2 * k - 2, np.zeros(len(k), dtype=bool)
            case Rounding.FLOOR:
                return 2 * k, np.ones(len(k), dtype=bool)
            case Rounding.UP:
                return np.where(above, 2 * k - 2, 2 * k), ~above
            case Rounding.DOWN:
                return np.where(above, 2 * k, 2 * k - 2), above
            case Rounding.SIGN:
                return 0 * k, np.ones(len(k), dtype=bool)

    def edge_distance(self, value: Fraction) -> Fraction:
        """Distance of a value to the nearest place where the code changes, in units of code."""
        steps = value / self.scale + self.zero
        nearest = int(steps)
        first, last = self.lo + 1, self.hi
        codes = {min(max(nearest + near, first), last) for near in range(-2, 4)}
        twice, _ = self.edges(np.array(sorted(codes), dtype=np.int64))
        return min(abs(steps - Fraction(int(edge), 2)) for edge in twice)
