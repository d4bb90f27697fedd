"""`--optimize speed` and `flash`: fewer instructions, fewer bytes of flash, the same integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import random_graphs
from c_networks import assert_exact, sources
from draw_networks import RandomDraw, draw_network
from random_graphs import GraphMaker

from qdeploy.codegen.c.choices import BALANCED, OPTIMIZE, STRAIGHT_BYTES
from qdeploy.codegen.c.cores import CORES
from qdeploy.codegen.c.packing import pack_weights
from qdeploy.codegen.c.program import program_of
from qdeploy.codegen.c.straight import code_bytes
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.lower import lower_with_affine
from qdeploy.verify.compare import compare
from qdeploy.verify.rungs.c_bare import Measured, run_bare


def mixed() -> GraphMaker:
    """Convolutions with words, single codes and groups, fully connected layers of odd lengths."""
    maker = GraphMaker(5, (3, 7, 8), bits=8).conv(6, weight_bits=8).threshold(bits=2)
    maker.conv(7, stride=(2, 2)).threshold(bits=8).conv(5).threshold(bits=2).depthwise()
    maker.threshold(bits=2).conv(4, (3, 3), dilation=(2, 1), pads=(2, 1, 2, 1)).threshold(bits=2)
    return maker.flatten().dense(23).threshold(bits=2).dense(9).threshold(bits=3).dense(4)


def measured(graph: IntegerGraph, frames: np.ndarray, folder: Path, optimize: str) -> Measured:
    """On a Cortex-M0+, every boundary compared."""
    program = sources(graph, folder, choices=OPTIMIZE[optimize])
    found, figures = run_bare(program, folder, "network", CORES["cortex-m0plus"], frames)
    result = compare(graph.boundaries(), run_reference(graph, frames), found)
    assert result.codes > 0
    assert result.first is None, result.first.sentence()
    return figures


@pytest.mark.parametrize("optimize", ["flash", "speed"])
@pytest.mark.parametrize("kind", ["convnet", "mlp", "resnet", "mobilenet"])
def test_every_kind_of_network_is_exact(kind: str, optimize: str, tmp_path: Path) -> None:
    maker = getattr(random_graphs, f"small_{kind}")(1)
    assert_exact(maker.graph(), maker.frames(5), tmp_path, optimize=optimize)


@pytest.mark.parametrize("optimize", ["flash", "speed"])
@pytest.mark.parametrize("flags", [(), ("-O2", "-DQD_WIDE=0")])
def test_every_kernel_is_exact(optimize: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    maker = mixed()
    program = assert_exact(maker.graph(), maker.frames(4), tmp_path, *flags, optimize=optimize)
    if optimize == "flash":
        packed = [step.weights for step in program.steps if step.weights is not None]
        assert sum(one.trits for one in packed) >= 5


@pytest.mark.parametrize("optimize", ["flash", "speed"])
@pytest.mark.parametrize("seed", range(20, 24))
def test_random_networks_are_exact(seed: int, optimize: str, tmp_path: Path) -> None:
    network = draw_network(RandomDraw(np.random.default_rng(seed)), seed)
    path = network.save(tmp_path / "network.onnx")
    graph = lower_with_affine(path, argmax="argmax" in network.features).graph
    source = graph.tensors[graph.input]
    codes = np.random.default_rng(seed).integers(source.lo, source.hi + 1, (4, *source.shape))
    assert_exact(graph, codes, tmp_path / "c", optimize=optimize)


def test_five_fields_of_three_values_come_out_of_every_byte() -> None:
    fields = np.array(np.unravel_index(np.arange(243), (3,) * 5)).T
    packed = pack_weights(np.tile(fields - 1, (1, 4)), trits=True)
    assert packed is not None and packed.trits and packed.data.shape == (243, 4)
    held = packed.data[:, 0].astype(np.int64)
    for k in range(5):
        held = held * 3
        assert (held >> 8 == fields[:, k]).all()
        held &= 255


def test_weights_of_four_values_stay_at_two_bits() -> None:
    packed = pack_weights(np.array([[-2, 1] * 10]), trits=True)
    assert packed is not None and not packed.trits and packed.bits == 2


def test_flash_and_speed_pay_with_one_another(tmp_path: Path) -> None:
    """Measured on a core: each is below what nothing is optimized for takes."""
    maker = GraphMaker(3, (6, 8, 8), bits=2).conv(24).threshold(bits=2)
    maker.conv(24, stride=(2, 2)).threshold(bits=2).flatten().dense(16).threshold(bits=2).dense(24)
    graph, frames = maker.graph(), maker.frames(1)
    found = {name: measured(graph, frames, tmp_path / name, name) for name in OPTIMIZE}
    plain, small, fast = found[BALANCED], found["flash"], found["speed"]
    assert plain.instructions and small.instructions and fast.instructions
    assert small.flash < plain.flash < fast.flash
    assert fast.instructions < plain.instructions < small.instructions


def test_straight_code_stays_within_its_budget_of_flash() -> None:
    maker = GraphMaker(3, (64, 1, 1), bits=2).flatten()
    for _ in range(3):
        maker.dense(64).threshold(bits=2)
    steps = program_of(maker.dense(8, weight_bits=8).graph(), OPTIMIZE["speed"]).steps
    straight = [step for step in steps if step.straight]
    assert 1 <= len(straight) < 3
    assert sum(code_bytes(step) for step in straight) <= STRAIGHT_BYTES
    assert not steps[-1].straight, "weights of 8 bits are multiplied"
