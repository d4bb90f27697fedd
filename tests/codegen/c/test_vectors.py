"""Convolutions with vectors of this machine give the same integers, within their memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from c_networks import SANITIZED, assert_exact
from processor_marks import AVX2, VNNI
from random_graphs import GraphMaker

from qdeploy.codegen.c.choices import OPTIMIZE, Choices
from qdeploy.codegen.c.program import program_of
from qdeploy.codegen.c.staging import Unit

BUILDS = [
    pytest.param(("-mavx2",), marks=AVX2),
    pytest.param(("-mavx512bw", "-mavx512vnni"), marks=VNNI),
]


def for_hosts(name: str) -> Choices:
    return replace(OPTIMIZE[name], vector=True)


@pytest.mark.parametrize("optimize", OPTIMIZE)
@pytest.mark.parametrize("flags", BUILDS)
def test_every_unit_finish_and_stride_is_exact(
    flags: tuple[str, ...], optimize: str, tmp_path: Path
) -> None:
    maker = GraphMaker(5, (3, 9, 10), bits=8).conv(20, weight_bits=8).threshold(bits=2)
    first = maker.mark()
    maker.conv(20).threshold(bits=8, base=-127).add(first).threshold(bits=2)
    maker.conv(17, stride=(2, 2)).threshold(bits=4).conv(5, (1, 1), stride=(2, 3), pads=(0,) * 4)
    maker.threshold(bits=3).conv(9, (2, 3), pads=(1, 2, 0, 1)).threshold(bits=2).conv(16).bias()
    graph = maker.graph()
    program = assert_exact(
        graph, maker.frames(4), tmp_path, *SANITIZED, *flags, choices=for_hosts(optimize)
    )
    units = {step.staging.unit for step in program.steps if step.vector is not None}
    assert units >= {Unit.FOURS, Unit.BYTES}


@pytest.mark.parametrize("flags", BUILDS)
def test_halves_of_16_bits_do_not_overflow(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Codes and weights at their ends over more products than 16 bits hold."""
    maker = GraphMaker(5, (384, 3, 3), bits=4).conv(8, weight_bits=3, pads=(0, 0, 0, 0))
    graph = maker.graph()
    source = graph.tensors[graph.input]
    codes = np.random.default_rng(0).choice([0, source.hi], (3, *source.shape))
    codes[0] = source.hi
    assert_exact(graph, codes, tmp_path, "-O2", *flags, choices=for_hosts("balanced"))


def test_cores_have_the_weights_once() -> None:
    maker = GraphMaker(5, (3, 9, 10)).conv(20).threshold(bits=2).flatten().dense(3)
    assert program_of(maker.graph()).steps[0].vector is None
