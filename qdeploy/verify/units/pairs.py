"""Two rows of a matrix unit: whether they are one function, or an input that tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.units.row import Row

# Pairs of sums that are followed one by one.
_MOST_PAIRS = 20_000


def same_function(one: Row, other: Row) -> bool:
    """Whether two rows give one code for every input, for the two reasons that show at once: both
    constant, or of the same weights and thresholds within reach."""
    if one.constant() or other.constant():
        return (
            one.constant()
            and other.constant()
            and int((one.table <= one.least).sum()) == int((other.table <= other.least).sum())
        )
    return bool((one.weights == other.weights).all()) and _effective(one) == _effective(other)


def _effective(row: Row) -> list[int]:
    return [int(v) for v in np.clip(row.table, row.least, row.most + 1)]


def tell_apart(weights: IntArray, levels: Sequence[IntArray], lo: int, hi: int) -> IntArray | None:
    """An input for which two rows give different codes; None when there is none.

    Args:
        weights: (2, columns).
        levels: of each row, with repetitions.

    Raises:
        OverflowError: too many pairs of sums to follow.
    """
    steps: list[dict[tuple[int, int], int]] = [{(0, 0): 0}]
    for w0, w1 in weights.T.tolist():
        reached: dict[tuple[int, int], int] = {}
        for s0, s1 in steps[-1]:
            for x in range(lo, hi + 1):
                reached.setdefault((s0 + w0 * x, s1 + w1 * x), x)
        if len(reached) > _MOST_PAIRS:
            raise OverflowError("too many pairs of sums")
        steps.append(reached)
    for pair in steps[-1]:
        codes = [int((table <= total).sum()) for table, total in zip(levels, pair, strict=True)]
        if codes[0] != codes[1]:
            return _back(weights, steps, pair)
    return None


def _back(
    weights: IntArray, steps: list[dict[tuple[int, int], int]], pair: tuple[int, int]
) -> IntArray:
    inputs = np.zeros(weights.shape[1], dtype=np.int64)
    for column in reversed(range(len(inputs))):
        x = steps[column + 1][pair]
        inputs[column] = x
        pair = (pair[0] - int(weights[0, column]) * x, pair[1] - int(weights[1, column]) * x)
    return inputs
