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

Where codes change at places of their own (MultiThreshold, Trunc), `TableQuantizer` has the edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Any, NamedTuple

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


class ValueEdges(NamedTuple):
    """For each code but the lowest, the least value that has it or a higher one.

    Args:
        numerators: of the values, Python integers over `denominator`.
        included: whether the value itself has the code.
        always, never: codes that every value, or none, reaches; their numerators mean nothing.
    """

    numerators: npt.NDArray[Any]
    denominator: int
    included: BoolArray
    always: BoolArray
    never: BoolArray


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

    def value_edges(self) -> ValueEdges:
        """Edges of the value itself below the codes lo + 1 … hi."""
        twice, included = self.edges(self.levels)
        numerators = (twice - 2 * self.zero).astype(object) * self.scale.numerator
        none = np.zeros(len(twice), dtype=bool)
        return ValueEdges(numerators, 2 * self.scale.denominator, included, none, none)

    def edge_distance(self, value: Fraction) -> Fraction:
        """Distance of a value to the nearest place where the code changes, in units of code."""
        edges = self.value_edges()
        distances = [abs(value - Fraction(int(n), edges.denominator)) for n in edges.numerators]
        return min(distances) / self.scale


@dataclass(frozen=True)
class Edge:
    """A value at which a code begins: itself, or what is above it.

    Args:
        value: None where every value is beyond the edge, or none is.
        included: whether the value has the code; of no value, whether every value has it.
    """

    value: Fraction | None
    included: bool = True


@dataclass(frozen=True)
class TableQuantizer(Quantizer):
    """Codes lo … hi with an edge of its own below each of lo + 1 … hi, ascending.

    `scale` is what one code means; it says nothing of the edges.
    """

    table: tuple[Edge, ...] = ()

    def value_edges(self) -> ValueEdges:
        return self._edges

    @cached_property
    def _edges(self) -> ValueEdges:
        values = [Fraction(0) if one.value is None else one.value for one in self.table]
        common = lcm(*(value.denominator for value in values)) if values else 1
        numerators = np.empty(len(values), dtype=object)
        numerators[:] = [value.numerator * (common // value.denominator) for value in values]
        included, known = (
            np.array(flags, dtype=bool)
            for flags in zip(*((e.included, e.value is not None) for e in self.table), strict=True)
        )
        return ValueEdges(numerators, common, included, ~known & included, ~known & ~included)
