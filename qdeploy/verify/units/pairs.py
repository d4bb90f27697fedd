"""Two rows of a matrix unit: whether they are one function, or an input that tells them apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.units.row import Row

# Pairs of sums that are followed one by one.
_MOST_PAIRS = 20_000


@dataclass(frozen=True)
class Verdict:
    """What is known of two rows.

    Args:
        apart: an input for which they differ; None where they are one function.
    """

    apart: IntArray | None


def one_function(weights: IntArray, levels: IntArray | None, lo: int, hi: int) -> Verdict | None:
    """Whether two rows give the same for all inputs in [lo, hi]; None where it is not known.

    Args:
        weights: (2, columns).
        levels: (2, n) ascending along axis 1; None where the sums themselves are put out.
    """
    if levels is None:
        columns = np.flatnonzero(weights[0] != weights[1])
        apart = np.full(weights.shape[1], lo)
        if columns.size and np.ptp(weights @ apart) == 0:
            apart[columns[0]] = hi
        return Verdict(apart if np.ptp(weights @ apart) else None)
    one, other = (Row(w, t, lo, hi) for w, t in zip(weights, levels, strict=True))
    if same_function(one, other):
        return Verdict(None)
    try:
        return Verdict(tell_apart(weights, levels, lo, hi))
    except OverflowError:
        return None


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


def tell_apart(weights: IntArray, levels: IntArray, lo: int, hi: int) -> IntArray | None:
    """An input for which two rows give different codes; None when there is none.

    Args:
        weights: (2, columns).
        levels: (2, n), with repetitions.

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
