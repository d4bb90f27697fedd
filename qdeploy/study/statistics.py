"""What seeds say together: means, spreads, intervals; a single seed says nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Student's t: 97.5 % quantile by degrees of freedom; the normal one beyond.
_T: tuple[float, ...] = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_T += (2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086)
_NORMAL = 1.96


@dataclass(frozen=True)
class Spread:
    """Values of several seeds.

    Args:
        deviation: sample standard deviation, None of a single one.
        low, high: 95 % interval of the mean by Student's t, None of a single one.
    """

    mean: float
    count: int
    deviation: float | None
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """Whether the mean is above zero: `yes`, `no`, or `not decided` by these seeds."""
        if self.low is None or self.high is None:
            return "one seed: no claim"
        if self.low > 0:
            return "yes"
        return "no" if self.high < 0 else "not decided"


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of values, None of nothing."""
    count = len(values)
    if not count:
        return None
    mean = math.fsum(values) / count
    if count == 1:
        return Spread(mean, 1, None, None, None)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (count - 1))
    t = _T[count - 2] if count - 2 < len(_T) else _NORMAL
    half = t * deviation / math.sqrt(count)
    return Spread(mean, count, deviation, mean - half, mean + half)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the line of least squares through two points or more with different x."""
    middle = sum(x) / len(x)
    across = sum((a - middle) ** 2 for a in x)
    return sum((a - middle) * b for a, b in zip(x, y, strict=True)) / across


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's, with mean ranks where values are equal; 0 where all of one side are."""
    a, b = (_ranks(v) - (len(v) + 1) / 2 for v in (x, y))
    scale = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


def _ranks(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, np.float64)
    below = (array[:, None] > array[None, :]).sum(axis=1)
    equal = (array[:, None] == array[None, :]).sum(axis=1)
    ranks: np.ndarray = below + (equal + 1) / 2
    return ranks
