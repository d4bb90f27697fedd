"""Networks in C are the integer graph at every boundary: no warning, no undefined behaviour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import random_graphs
from c_networks import assert_exact
from draw_networks import RandomDraw, draw_network
from random_graphs import GraphMaker

from qdeploy.codegen.c.kernels import kernel_of
from qdeploy.codegen.c.program import program_of
from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.integers.lower import lower_with_affine

KINDS = ("convnet", "mlp", "resnet", "mobilenet", "unet", "densenet", "decoder")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_is_exact(kind: str, tmp_path: Path) -> None:
    maker = getattr(random_graphs, f"small_{kind}")(1)
    program = assert_exact(maker.graph(), maker.frames(5), tmp_path)
    assert program.memory.size == program.memory.bound


def _wide_codes() -> GraphMaker:
    """Codes of 16 bits in and inside, weights of 16 bits, an argmax of every pixel."""
    maker = GraphMaker(0, (3, 5, 4), bits=12).conv(
        4, weight_bits=12, stride=(2, 1), dilation=(1, 2)
    )
    maker.threshold(bits=9, base=-256).add(maker.now).bias().threshold(bits=4)
    return maker.conv(5, (1, 1), pads=(0, 0, 0, 0), weight_bits=3).argmax()


def _pools() -> GraphMaker:
    """Overlapping pools with and without padding, one of them over its own input; flat codes."""
    maker = GraphMaker(1, (2, 9, 7), bits=4).conv(6, weight_bits=1).threshold(bits=3, base=-4)
    maker.max_pool((3, 3), (2, 2)).max_pool((2, 3), (1, 2), (1, 0, 0, 1))
    return maker.flatten().threshold(bits=2).dense(5, weight_bits=5)


def _flat_output() -> GraphMaker:
    return GraphMaker(2, (2, 3, 4), bits=3).conv(3, (2, 2), pads=(0, 0, 1, 1)).threshold().flatten()


@pytest.mark.parametrize("make", [_wide_codes, _pools, _flat_output])
def test_odd_networks_are_exact(make: object, tmp_path: Path) -> None:
    maker = make()  # type: ignore[operator]
    assert_exact(maker.graph(), maker.frames(5), tmp_path)


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_are_exact(seed: int, tmp_path: Path) -> None:
    network = draw_network(RandomDraw(np.random.default_rng(seed)), seed)
    path = network.save(tmp_path / "network.onnx")
    graph = lower_with_affine(path, argmax="argmax" in network.features).graph
    source = graph.tensors[graph.input]
    random = np.random.default_rng(seed)
    codes = random.integers(source.lo, source.hi + 1, (4, *source.shape))
    codes[0], codes[-1] = source.hi, source.lo
    assert_exact(graph, codes, tmp_path / "c")


def test_sums_beyond_32_bits_are_refused_with_the_layer() -> None:
    maker = GraphMaker(0, (1200,), bits=16).dense(2, weight_bits=14).bias()
    with pytest.raises(UnsupportedLayerError, match="has integers from") as caught:
        program_of(maker.graph())
    assert "32 bits" in str(caught.value)


def test_buffers_that_live_at_one_time_do_not_overlap() -> None:
    for kind in KINDS:
        program = program_of(getattr(random_graphs, f"small_{kind}")(0).graph())
        assert program.memory.bound <= program.memory.size
        assert max(program.memory.live) == program.memory.bound


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("inputs", "copied"), [(128, True), (131, True), (20, False)])
def test_large_layers_have_a_kernel_for_their_width(
    bits: int, inputs: int, copied: bool, tmp_path: Path
) -> None:
    """Unless their rows end within a byte."""
    maker = GraphMaker(bits, (inputs, 1, 1), bits=3).flatten().dense(80, weight_bits=bits)
    maker.threshold(bits=2).dense(5, weight_bits=bits)
    program = assert_exact(maker.graph(), maker.frames(5), tmp_path)
    names = [kernel_of(step).name for step in program.steps]
    packed = program.steps[-2].weights
    assert packed is not None
    own = copied and 8 % packed.bits == 0 and packed.bits * inputs % 8 == 0
    assert (f"qd_dense_u8_w{packed.bits}" in names) == own
