"""`--optimize ram`: less memory, and the same integers at every boundary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import random_graphs
from c_networks import assert_exact, assert_exact_on_core
from draw_networks import RandomDraw, draw_network
from random_graphs import GraphMaker

from qdeploy.codegen.c.choices import OPTIMIZE
from qdeploy.codegen.c.cores import CORES
from qdeploy.codegen.c.elements import Element
from qdeploy.codegen.c.program import Program, program_of
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.lowering.integers.lower import lower_with_affine

KINDS = ("convnet", "mlp", "resnet", "mobilenet", "unet", "densenet", "decoder")


def ram(graph: IntegerGraph) -> Program:
    return program_of(graph, OPTIMIZE["ram"])


def residual(channels: int = 8, size: int = 12, bits: int = 2) -> GraphMaker:
    """Two residual blocks: a bypass that is requantized, one with a convolution."""
    maker = GraphMaker(5, (3, size, size), bits=8).conv(channels, weight_bits=8)
    maker.threshold(bits=bits)
    first = maker.mark()
    maker.threshold(bits=8, base=-100)
    bypass = maker.mark()
    maker.back_to(first).conv(channels).threshold(bits=bits).conv(channels)
    maker.threshold(bits=8, base=-127).add(bypass).threshold(bits=bits)
    second = maker.mark()
    maker.conv(channels, (1, 1), pads=(0, 0, 0, 0), stride=(2, 2)).threshold(bits=8, base=-128)
    bypass = maker.mark()
    maker.back_to(second).conv(channels, stride=(2, 2)).threshold(bits=bits).conv(channels)
    return maker.threshold(bits=8, base=-127).add(bypass).threshold(bits=bits).flatten().dense(4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_is_exact_and_takes_no_more(kind: str, tmp_path: Path) -> None:
    maker = getattr(random_graphs, f"small_{kind}")(1)
    program = assert_exact(maker.graph(), maker.frames(5), tmp_path, optimize="ram")
    assert program.memory.size <= program_of(maker.graph()).memory.size


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [8, 7])
def test_a_residual_network_takes_less_than_half(bits: int, channels: int, tmp_path: Path) -> None:
    """Channels beyond a whole number of bytes too."""
    maker = residual(channels, bits=bits)
    program = assert_exact(maker.graph(), maker.frames(4), tmp_path, optimize="ram")
    fused = [step.fused for step in program.steps if step.fused is not None]
    assert len(fused) == 2
    assert any(one.mapped is not None for one in fused)
    assert any(one.element.packed for one in program.written)
    if bits <= 2:
        assert 2 * program.memory.size < program_of(maker.graph()).memory.size


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_are_exact(seed: int, tmp_path: Path) -> None:
    network = draw_network(RandomDraw(np.random.default_rng(seed)), seed)
    path = network.save(tmp_path / "network.onnx")
    graph = lower_with_affine(path, argmax="argmax" in network.features).graph
    source = graph.tensors[graph.input]
    codes = np.random.default_rng(seed).integers(source.lo, source.hi + 1, (4, *source.shape))
    codes[0], codes[-1] = source.hi, source.lo
    assert_exact(graph, codes, tmp_path / "c", optimize="ram")


def test_a_map_that_is_convolved_and_added_to_is_not_written_over() -> None:
    maker = GraphMaker(1, (4, 8, 8), bits=2).conv(4).threshold(bits=2)
    first = maker.mark()
    maker.conv(4).threshold(bits=2).add(first).threshold(bits=2).flatten().dense(3)
    (step,) = (one for one in ram(maker.graph()).steps if one.fused is not None)
    storage = ram(maker.graph()).storage
    assert storage[step.result.name] != storage[step.sources[0].name]


def test_a_map_stays_a_byte_per_code_where_the_peak_is_elsewhere() -> None:
    maker = GraphMaker(1, (8, 9, 9), bits=2).conv(16).threshold(bits=2)
    maker.max_pool((3, 3), (3, 3)).conv(4).threshold(bits=2).flatten().dense(3)
    whole = replace(OPTIMIZE["ram"], streamed=False)
    elements = [one.element for one in program_of(maker.graph(), whole).written]
    assert elements[0] is Element.U2
    assert elements[2] is Element.U8


@pytest.mark.parametrize("name", ["cortex-m0plus", "rv32imc"])
def test_packed_codes_are_exact_on_a_bare_core(name: str, tmp_path: Path) -> None:
    maker = residual(7)
    assert_exact_on_core(maker.graph(), maker.frames(2), tmp_path, CORES[name], OPTIMIZE["ram"])
