"""Directed vectors of units that multiply, and the account of their single faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.ir.reference import count_thresholds
from qdeploy.verify.units.accounts import CHANNELS, FaultAccount, FaultCount
from qdeploy.verify.units.pairs import one_function
from qdeploy.verify.units.search import MOST_PAIRS, Faulty, Search
from qdeploy.verify.units.seen import sums_of
from qdeploy.verify.units.weights import BoolArray, weight_change, weight_range


@dataclass(frozen=True)
class DirectedVectors:
    """Vectors and what they show.

    Args:
        inputs: (vectors, columns) codes; (vectors, channels, positions) of a depthwise unit.
        missing: vectors that were wanted, and for which there was no room.
        account: what became of every single fault.
    """

    inputs: IntArray
    missing: int
    account: FaultAccount


def directed_vectors(
    matrix: IntArray, lo: int, hi: int, levels: IntArray | None, masks: IntArray, most: int
) -> DirectedVectors:
    """Vectors for a matrix unit: code = #{k : levels[row, k] <= Σ w·x}.

    Args:
        matrix: (rows, columns).
        lo, hi: range of every input.
        levels: (rows, n) ascending along axis 1; None where the sums themselves are put out.
        masks: (masks, columns) of 0 and 1: for windows that occur, the inputs that are no padding,
            which is 0; a vector is under one of them.
        most: vectors at most.
    """
    return _directed(matrix, lo, hi, levels, masks, _faulty(matrix), most)


def directed_kernels(
    kernels: IntArray, lo: int, hi: int, levels: IntArray | None, masks: IntArray, most: int
) -> DirectedVectors:
    """Vectors for a depthwise unit: each channel has its own inputs.

    Args:
        kernels: (channels, positions).
        lo, hi, most: as in `directed_vectors`.
        levels: (channels, n), or None.
        masks: (masks, positions).

    Returns:
        A channel with fewer vectors of its own repeats them. Swapped channels are judged on these
        inputs by the codes that the two would give.
    """
    faulty = _faulty(kernels)
    parts = [
        _directed(
            kernels[row : row + 1],
            lo,
            hi,
            None if levels is None else levels[row : row + 1],
            masks,
            faulty,
            most,
        )
        for row in range(len(kernels))
    ]
    count = max((len(part.inputs) for part in parts), default=0)
    inputs = np.stack([np.resize(p.inputs, (count, kernels.shape[1])) for p in parts], axis=1)
    total = FaultAccount.of(part.account for part in parts)
    swaps = _kernel_swaps(kernels, inputs, lo, hi, levels, masks)
    missing = max((part.missing for part in parts), default=0)
    account = FaultAccount({**total.counts, CHANNELS: swaps})
    return DirectedVectors(inputs, missing, account)


def _faulty(weights: IntArray) -> Faulty:
    return Faulty(weight_change(weights), *weight_range(weights))


def _directed(
    matrix: IntArray,
    lo: int,
    hi: int,
    levels: IntArray | None,
    masks: IntArray,
    faulty: Faulty,
    most: int,
) -> DirectedVectors:
    search = Search(matrix, lo, hi, levels, masks, faulty, most)
    search.run()
    account = search.account()
    return DirectedVectors(search.inputs(), search.missing, account)


def _kernel_swaps(
    kernels: IntArray,
    inputs: IntArray,
    lo: int,
    hi: int,
    levels: IntArray | None,
    masks: IntArray,
) -> FaultCount:
    """Swapped kernels: each channel then computes the other's function of its own inputs."""
    channels = len(kernels)
    differ: BoolArray = np.zeros((channels, channels), dtype=bool)
    for channel in range(channels):
        codes = sums_of(kernels, inputs[:, channel])
        if levels is not None:
            codes = count_thresholds(codes, levels, 0)
        differ[channel] = (codes != codes[:, channel : channel + 1]).any(axis=0)
    differ |= differ.T
    pairs = np.argwhere(np.triu(~differ, k=1))
    redundant = sum(
        _alike(kernels[pair], None if levels is None else levels[pair], lo, hi, masks)
        for pair in pairs[:MOST_PAIRS]
    )
    total = channels * (channels - 1) // 2
    return FaultCount(total, total - len(pairs), redundant)


def _alike(kernels: IntArray, levels: IntArray | None, lo: int, hi: int, masks: IntArray) -> bool:
    """Whether two kernels are known to give the same codes for all inputs."""
    found = [one_function(kernels * mask, levels, lo, hi) for mask in masks]
    return all(one is not None and one.apart is None for one in found)
