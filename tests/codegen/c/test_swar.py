"""Four products to a multiplication, at the extremes of each pair of widths."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from c_networks import assert_exact
from random_graphs import GraphMaker

from qdeploy.codegen.c.program import program_of
from qdeploy.codegen.c.swar import fit_swar
from qdeploy.ir.integer_graph import Conv, IntegerGraph, IntType
from qdeploy.ir.intervals import node_intervals


def limits(bits: int, narrow: bool) -> tuple[int, int]:
    """Smallest and largest weight of a width; of one bit -1 and 1."""
    if bits == 1:
        return -1, 1
    top = 2 ** (bits - 1)
    return -top + narrow, top - 1


def extreme(activation_bits: int, low: int, high: int) -> IntegerGraph:
    """A convolution with padding whose filters are extremes in every order, and random ones."""
    maker = GraphMaker(0, (8, 4, 7), bits=activation_bits).conv(9)
    conv, source = maker.nodes[0], maker.tensors["x"]
    assert isinstance(conv, Conv)
    weights = np.random.default_rng(0).choice([low, high], conv.weights.shape)
    weights[0], weights[1] = low, high
    weights[2, ::2], weights[2, 1::2] = low, high
    weights[3, :4], weights[3, 4:] = high, low
    weights[4] = np.random.default_rng(1).integers(low, high + 1, weights[4].shape)
    node = replace(conv, weights=weights)
    lo, hi = node_intervals(node, source).bounds
    maker.nodes[0] = node
    name = node.output
    maker.tensors[name] = replace(maker.tensors[name], dtype=IntType.holding(lo, hi), lo=lo, hi=hi)
    maker.now = maker.tensors[name]
    return maker.graph()


def frames(graph: IntegerGraph) -> np.ndarray:
    """All codes at the top, none, in turn, and random ones of the two ends."""
    source = graph.tensors[graph.input]
    found = np.random.default_rng(2).choice([0, source.hi], (6, *source.shape))
    found[0], found[1] = source.hi, 0
    found[2], found[3] = 0, source.hi
    found[2, ::2], found[3, ::2] = source.hi, 0
    return found


PAIRS = [
    (weight_bits, activation_bits, narrow)
    for weight_bits, activation_bits, narrow in product(range(1, 5), range(1, 5), (True, False))
    if not (weight_bits == 1 and not narrow)
    and fit_swar(2**activation_bits - 1, np.array(limits(weight_bits, narrow)))
]


@pytest.mark.parametrize(("weight_bits", "activation_bits", "narrow"), PAIRS)
def test_extremes_of_a_pair_of_widths_are_exact(
    weight_bits: int, activation_bits: int, narrow: bool, tmp_path: Path
) -> None:
    graph = extreme(activation_bits, *limits(weight_bits, narrow))
    program = assert_exact(graph, frames(graph), tmp_path, "-O2")
    (step,) = program.steps
    assert step.swar is not None


def test_no_longer_run_keeps_every_byte_within_its_bounds() -> None:
    for weight_bits, activation_bits, narrow in PAIRS:
        low, high = limits(weight_bits, narrow)
        largest = 2**activation_bits - 1
        found = fit_swar(largest, np.array([low, high]))
        assert found is not None
        top = found.offset + 4 * found.run * largest * high
        assert found.offset + 4 * found.run * largest * low == 0
        assert top <= 255
        if found.run < 4:
            assert top + 4 * largest * (high - low) > 255


def test_wider_pairs_take_the_plain_kernel() -> None:
    graph = extreme(8, -1, 1)
    assert program_of(graph).steps[0].swar is None
    assert program_of(extreme(2, -1, 1), fast=False).steps[0].swar is None
