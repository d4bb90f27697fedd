"""Vectors for units that multiply: the extremes of every sum, and sums right at every threshold."""

from __future__ import annotations

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.units.tight import (
    Account,
    seen_levels,
    seen_weights,
    solved,
    unreachable_levels,
)

SEED = 7
RANDOM_VECTORS = 4
# Rounds of further vectors for weights that were zero's partners so far.
ROUNDS = 4


def spread(count: int, most: int) -> IntArray:
    """At most `most` of `count` indices, evenly over all of them."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


def matrix_vectors(
    matrix: IntArray,
    lo: int,
    hi: int,
    levels: IntArray | None,
    masks: IntArray,
    most: int,
) -> IntArray:
    """Vectors (vectors, columns) for all rows of a matrix unit, the most telling first.

    Args:
        matrix: (rows, columns).
        lo, hi: of an input.
        levels: thresholds (rows, levels) of the sums; None where the sums come out.
        masks: (masks, columns), 0 where every frame has padding, of windows that occur; a vector
            is under one of them.
        most: vectors.
    """
    columns = matrix.shape[1]
    random = np.random.default_rng(SEED)
    plain: list[IntArray] = [np.full(columns, hi), np.full(columns, lo)]
    plain.append(_nonzero(lo, hi, (columns,)))
    plain += list(random.integers(lo, hi + 1, (RANDOM_VECTORS, columns)))
    first = np.array(plain, dtype=np.int64) * _mask(masks, len(plain))
    room = max(most - len(first), 0)
    parts = [first]
    tight = 0 if levels is None else room - room // 4
    if levels is not None and tight:
        found = _tight(matrix, lo, hi, levels, masks, tight, random)
        parts.append(found)
        room -= len(found)
    ends = np.concatenate([np.where(matrix > 0, hi, lo), np.where(matrix > 0, lo, hi)])
    if masks.min() == 0:
        ends = ends * _mask(masks, len(ends))
    parts.append(ends[spread(len(ends), room)] if room else ends[:0])
    return np.concatenate(parts)[: max(most, 2)]


def _tight(
    matrix: IntArray,
    lo: int,
    hi: int,
    levels: IntArray,
    masks: IntArray,
    most: int,
    random: np.random.Generator,
) -> IntArray:
    """Sums at and right below every threshold, with inputs other than zero where that is possible;
    then again from other starts, for rows whose weights were not all seen."""
    rows, count = levels.shape
    made: list[IntArray] = []
    left = most
    pairs = np.stack(np.meshgrid(np.arange(rows), np.arange(count), [0, 1], indexing="ij"), -1)
    wanted = pairs.reshape(-1, 3)
    more = less = np.zeros(matrix.shape, dtype=bool)
    for _ in range(ROUNDS):
        chosen = wanted[spread(len(wanted), left)]
        if not len(chosen):
            break
        row, level, below = chosen.T
        shape = (len(chosen), matrix.shape[1])
        start = random.integers(lo, hi + 1, shape)
        # A weight whose input is zero is not seen: such inputs as few as can be.
        unseen = ~(more & less)[row]
        start = np.where(unseen & (start == 0), _nonzero(lo, hi, shape), start)
        mask = masks[np.arange(len(chosen)) % len(masks)]
        x = solved(matrix[row], levels[row, level] - below, start, lo * mask, hi * mask, random)
        made.append(x)
        left -= len(x)
        up, down = seen_weights(x, x @ matrix.T, levels)
        more, less = more | up, less | down
        lacking = np.flatnonzero(~(more & less).all(axis=1))
        wanted = wanted[np.isin(wanted[:, 0], lacking)]
        if left <= 0:
            break
    return np.concatenate(made) if made else np.zeros((0, matrix.shape[1]), dtype=np.int64)


def depthwise_vectors(
    kernel: IntArray, lo: int, hi: int, levels: IntArray | None, masks: IntArray, most: int
) -> IntArray:
    """Vectors (vectors, channels, positions) of a depthwise unit: each channel has its own sums.

    Args:
        kernel: (channels, positions).
        masks: (masks, positions), as in `matrix_vectors`.
    """
    channels, positions = kernel.shape
    random = np.random.default_rng(SEED)
    shape = (channels, positions)
    plain = [np.full(shape, hi), np.full(shape, lo), _nonzero(lo, hi, shape)]
    plain += [np.where(kernel > 0, hi, lo), np.where(kernel > 0, lo, hi)]
    plain += [random.integers(lo, hi + 1, shape) for _ in range(RANDOM_VECTORS)]
    parts = [np.array(plain, dtype=np.int64) * _mask(masks, len(plain))[:, None]]
    if levels is not None:
        for turn in range(ROUNDS):
            for column in levels.T:
                for below in (0, 1):
                    start = random.integers(lo, hi + 1, shape)
                    if turn == 0:
                        start = np.where(start == 0, _nonzero(lo, hi, shape), start)
                    mask = np.broadcast_to(masks[len(parts) % len(masks)], shape)
                    x = solved(kernel, column - below, start, lo * mask, hi * mask, random)
                    parts.append(x[None])
    found = np.concatenate(parts)
    return found[spread(len(found), max(most, 2))]


def account(
    x: IntArray,
    sums: IntArray,
    weights: IntArray,
    levels: IntArray | None,
    sum_lo: IntArray,
    sum_hi: IntArray,
) -> Account:
    """Single faults that vectors x (vectors, columns) of a matrix unit show."""
    if levels is None:
        # The sums themselves come out: every input other than zero shows its weight.
        shown = int((x != 0).any(axis=0).sum()) * len(weights)
        return Account(weights=2 * weights.size, seen_weights=2 * shown)
    more, less = seen_weights(x, sums, levels)
    return Account(
        weights=2 * weights.size,
        seen_weights=int(more.sum() + less.sum()),
        thresholds=2 * levels.size,
        seen_thresholds=sum(seen_levels(sums, levels)),
        unreachable=unreachable_levels(levels, sum_lo, sum_hi),
    )


def _nonzero(lo: int, hi: int, shape: tuple[int, ...]) -> IntArray:
    """Inputs other than zero, small ones: hi and lo have their own vectors."""
    return np.full(shape, max(lo, 1) if hi >= 1 else hi if hi else lo, dtype=np.int64)


def _mask(masks: IntArray, count: int) -> IntArray:
    return masks[np.arange(count) % len(masks)]
