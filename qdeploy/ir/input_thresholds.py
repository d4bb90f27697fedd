"""Thresholds of a monotone function of float32 numbers, found by bisection.

The order of float32 numbers is that of integers (`order_of`), so that the least x with a code is
found in 33 evaluations, all codes and channels at once. The function is taken as it is: what it
rounds, and where, is in its thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from qdeploy.ir.input_codes import CodeArray, FloatArray, InputPreparation, float_of, order_of

# (rows, K) float32 -> (rows, K) codes, each row rising or falling throughout.
CodeFunction = Callable[[FloatArray], CodeArray]
# Samples that a function found by bisection is compared at, per row.
CHECKED = 4096
# Thresholds of one input: 8 MiB of float32.
MOST = 1 << 21
_LAST = int(order_of(np.array([np.finfo(np.float32).max], dtype=np.float32))[0])


class NotMonotoneError(ValueError):
    """The function of the input rises in one place and falls in another."""


class TooManyThresholdsError(ValueError):
    """A function needs more thresholds than a host should keep; says how many."""


def bisected(function: CodeFunction, rows: int) -> tuple[FloatArray, int, tuple[bool, ...]]:
    """Thresholds, smallest code and falling rows of a function.

    Returns:
        As `InputPreparation` takes them.

    Raises:
        NotMonotoneError: it is not monotone.
        TooManyThresholdsError: there are more than `MOST`.
    """
    ends = np.array([[-_LAST, _LAST]] * rows, dtype=np.int64)
    first, last = function(float_of(ends)).T
    lo, hi = int(min(first.min(), last.min())), int(max(first.max(), last.max()))
    if rows * (hi - lo) > MOST:
        raise TooManyThresholdsError(f"{rows * (hi - lo):,}")
    falling = first > last
    levels = np.arange(1, hi - lo + 1)

    def risen(order: CodeArray) -> CodeArray:
        codes = function(float_of(order))
        return np.where(falling[:, None], hi - codes, codes - lo)

    # The code is below the level at `below` and not below it at `reached`, or beyond the last x.
    below = np.full((rows, levels.size), -_LAST - 1, dtype=np.int64)
    reached = np.full((rows, levels.size), _LAST + 1, dtype=np.int64)
    while levels.size and (reached - below > 1).any():
        middle = (below + reached) // 2
        inside = np.clip(middle, -_LAST, _LAST)
        there = np.where(middle > _LAST, True, (risen(inside) >= levels) & (middle >= -_LAST))
        reached, below = np.where(there, middle, reached), np.where(there, below, middle)
    thresholds = float_of(np.clip(reached, -_LAST, _LAST))
    thresholds = np.where(reached <= -_LAST, np.float32(-np.inf), thresholds)
    thresholds = np.where(reached > _LAST, np.float32(np.inf), thresholds).astype(np.float32)
    _check(function, thresholds, lo, hi, falling)
    return thresholds, lo, tuple(bool(falls) for falls in falling)


def trimmed(
    thresholds: FloatArray, lo: int, falling: tuple[bool, ...], low: int, high: int
) -> FloatArray:
    """The thresholds between the codes low … high, of all those from `lo` on."""
    hi = lo + thresholds.shape[1]
    rows = [
        row[hi - high : hi - low] if falls else row[low - lo : high - lo]
        for row, falls in zip(thresholds, falling, strict=True)
    ]
    return np.stack(rows)


def plain(scale: Fraction | None, lo: int, hi: int, shape: tuple[int, ...]) -> InputPreparation:
    """What a quantizer alone does: code = x / scale in float32, halves to even, clipped."""
    step = np.float32(1 if scale is None else float(scale))

    def function(x: FloatArray) -> CodeArray:
        with np.errstate(over="ignore"):
            return np.rint(np.clip(x / step, np.float32(lo), np.float32(hi))).astype(np.int64)

    thresholds, _, falling = bisected(function, 1)
    return InputPreparation(thresholds, lo, falling, None, shape, scale=scale)


def _check(
    function: CodeFunction, table: FloatArray, lo: int, hi: int, falling: npt.NDArray[np.bool_]
) -> None:
    """Compare the table with the function: at numbers of every size and sign."""
    random = np.random.default_rng(0)
    order = random.integers(-_LAST, _LAST + 1, (len(table), CHECKED))
    sizes = 10.0 ** random.integers(-3, 4, order.shape)
    small = random.uniform(-4.0, 4.0, order.shape) * sizes
    x = np.concatenate([float_of(order), small.astype(np.float32)], axis=1)
    rows = zip(table, x, strict=True)
    count = np.stack([np.searchsorted(row, part, side="right") for row, part in rows])
    expected = np.where(falling[:, None], hi - count, lo + count)
    if not np.array_equal(function(x), expected):
        raise NotMonotoneError("the input's function rises in one place and falls in another")
