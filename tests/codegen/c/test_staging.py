"""Several products to a multiplication, at the extremes of each pair of widths."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from c_networks import SANITIZED, assert_exact
from random_graphs import GraphMaker

from qdeploy.codegen.c.choices import Choices
from qdeploy.codegen.c.program import program_of
from qdeploy.codegen.c.staging import Run, Unit, _longest
from qdeploy.codegen.c.steps import Step
from qdeploy.ir.integer_graph import Conv, IntegerGraph, IntType
from qdeploy.ir.intervals import node_intervals


def limits(bits: int, narrow: bool) -> tuple[int, int]:
    """Smallest and largest weight of a width; of one bit -1 and 1."""
    if bits == 1:
        return -1, 1
    top = 2 ** (bits - 1)
    return -top + narrow, top - 1


def extreme(activation_bits: int, low: int, high: int, **conv: object) -> IntegerGraph:
    """A convolution with padding whose filters are extremes in every order, and random ones."""
    maker = GraphMaker(0, (5, 6, 7), bits=activation_bits).conv(9, **conv)  # type: ignore[arg-type]
    node, source = maker.nodes[0], maker.tensors["x"]
    assert isinstance(node, Conv)
    weights = np.random.default_rng(0).choice([low, high], node.weights.shape)
    weights[0], weights[1] = low, high
    weights[2, ::2], weights[2, 1::2] = low, high
    weights[3, :4], weights[3, 4:] = high, low
    weights[4] = np.random.default_rng(1).integers(low, high + 1, weights[4].shape)
    node = replace(node, weights=weights)
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


def the_step(graph: IntegerGraph) -> Step:
    (step,) = program_of(graph).steps
    return step


PAIRS = [
    (weight_bits, activation_bits, narrow)
    for weight_bits, activation_bits, narrow in product(range(1, 5), range(1, 6), (True, False))
    if not (weight_bits == 1 and not narrow)
    and 3 * (2**activation_bits - 1) * sum(map(abs, limits(weight_bits, narrow))) <= 255
]
# Units, and the layers that have them.
LAYERS: dict[Unit, dict[str, object]] = {
    Unit.PAIRS: {},
    Unit.FOURS: {"stride": (2, 2)},
}


@pytest.mark.parametrize("unit", LAYERS)
@pytest.mark.parametrize(("weight_bits", "activation_bits", "narrow"), PAIRS)
def test_extremes_of_a_pair_of_widths_are_exact(
    unit: Unit, weight_bits: int, activation_bits: int, narrow: bool, tmp_path: Path
) -> None:
    graph = extreme(activation_bits, *limits(weight_bits, narrow), **LAYERS[unit])
    staging = the_step(graph).staging
    assert staging is not None
    assert staging.unit in (unit, Unit.BYTES)
    assert_exact(graph, frames(graph), tmp_path, "-O2")
    if staging.unit is Unit.PAIRS:
        assert_exact(graph, frames(graph), tmp_path / "narrow", "-O2", "-DQD_WIDE=0")


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(
    "conv",
    [
        {"kernel": (3, 3), "pads": (1, 2, 1, 0)},
        {"kernel": (2, 3), "pads": (0, 0, 0, 0), "stride": (3, 1)},
        {"kernel": (3, 3), "pads": (2, 0, 2, 2)},
        {"kernel": (1, 1), "pads": (0, 0, 0, 0)},
        {"kernel": (3, 5), "pads": (2, 4, 0, 1), "stride": (1, 2)},
        {"kernel": (3, 3), "weight_bits": 7},
    ],
)
def test_windows_of_any_shape_stay_within_their_memory(
    conv: dict[str, object], narrow: bool, tmp_path: Path
) -> None:
    maker = GraphMaker(3, (3, 7, 6), bits=2).conv(6, **conv)  # type: ignore[arg-type]
    maker.threshold(bits=2).conv(5).threshold(bits=8)
    assert all(step.staging for step in program_of(maker.graph()).steps)
    flags = (*SANITIZED, *(["-DQD_WIDE=0"] if narrow else []))
    assert_exact(maker.graph(), maker.frames(4), tmp_path, *flags)


def test_no_longer_run_keeps_every_byte_within_its_bounds() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        words = random.integers(-2, 2, (4, int(random.integers(1, 90)), 3))
        negative = 3 * np.maximum(-words, 0).sum(axis=2)
        positive = 3 * np.maximum(words, 0).sum(axis=2)
        found = _longest(negative, positive)
        assert found is not None
        assert _fits(found, negative, positive)
        for units in range(found.units + 4, words.shape[1], 4):
            offset = max(part.sum(axis=1).max() for part in _parts(negative, units - units % 4))
            assert not _fits(Run(units - units % 4, int(offset), 0), negative, positive)


def _parts(values: np.ndarray, units: int) -> list[np.ndarray]:
    return [values[:, first : first + units] for first in range(0, values.shape[1], units)]


def _fits(run: Run, negative: np.ndarray, positive: np.ndarray) -> bool:
    low = max(part.sum(axis=1).max() for part in _parts(negative, run.units))
    high = max(part.sum(axis=1).max() for part in _parts(positive, run.units))
    return bool(low <= run.offset and run.offset + high <= 255)


def test_wider_pairs_take_single_codes() -> None:
    staging = the_step(extreme(8, -1, 1)).staging
    assert staging is not None and staging.unit is Unit.BYTES
    (step,) = program_of(extreme(2, -1, 1), Choices(staged=False)).steps
    assert step.staging is None
