"""Elements of a file in exact arithmetic, and how far a float32 engine may be from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.ir.head import Head
from qdeploy.ir.integer_graph import IntArray

UNIT = Fraction(1, 1 << 24)
# Roundings of a code times its scale, and what an engine may do besides (a fused multiply-add saves
# some, a reciprocal in place of a division adds one).
_SPARE = 4


@dataclass(frozen=True)
class Exact:
    """Elements (K,): exact values, magnitudes of their terms, and roundings of a float engine."""

    value: npt.NDArray[Any]  # of Fraction
    size: npt.NDArray[np.float64]
    roundings: int

    def error(self) -> npt.NDArray[np.float64]:
        """How far a float32 engine may be from each value."""
        return self.size * error_factor(self.roundings)

    def error_fractions(self) -> list[Fraction]:
        """The same as fractions."""
        return [Fraction(float(error)) for error in self.error()]


def exact_sums(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sums of the rows of fractions (K, T), (K,): over their common denominator, as integers."""
    # Elements with one code are one object, and there are few codes.
    distinct = {id(one): one for one in values.flat}
    common = math.lcm(*{one.denominator for one in distinct.values()})
    whole = {key: one.numerator * (common // one.denominator) for key, one in distinct.items()}
    rows = list(map(whole.__getitem__, map(id, values.flat)))
    # Machine integers where no sum can leave them.
    most = max(map(abs, whole.values()), default=0) * max(1, values.shape[1])
    kind = np.int64 if most < 1 << 63 else object
    sums = np.array(rows, dtype=kind).reshape(values.shape).sum(axis=1)
    return np.array([Fraction(int(one), common) for one in sums], dtype=object)


def error_factor(roundings: int) -> float:
    """γ_n for n roundings and the spare ones."""
    n = (roundings + _SPARE) * UNIT
    return float(n / (1 - n))


@dataclass(frozen=True)
class Given:
    """A tensor of the file whose codes are known: value = gain[c] · code + offset[c].

    Args:
        codes: (frames, *shape of the file's tensor), of any integer type.
        scale: gain of all channels, or None for `meaning`.
        meaning: gain and offset, each for all channels or for each.
    """

    codes: npt.NDArray[np.integer]
    scale: Fraction | None
    meaning: Head | None = None

    def at(self, index: IntArray) -> Exact:
        """Some elements (K, axes)."""
        codes = self.codes[tuple(index.T)].astype(np.int64)
        head = self.meaning or Head((self.scale or Fraction(1),))
        channels = index[:, 1] if index.shape[1] > 1 else np.zeros(len(index), dtype=np.int64)
        # Few codes of a channel differ, and arithmetic with fractions is slow.
        lowest = int(codes.min())
        span = int(codes.max()) - lowest + 1
        found, places = np.unique(channels * span + (codes - lowest), return_inverse=True)
        maps = [(*head.of(int(one) // span), int(one) % span + lowest) for one in found]
        value = np.array([g * n + b for g, b, n in maps], dtype=object)
        size = np.array([abs(float(g) * n) + abs(float(b)) for g, b, n in maps], dtype=np.float64)
        places = places.reshape(-1)
        return Exact(value[places], size[places], 3)
