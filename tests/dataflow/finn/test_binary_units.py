"""Bits times -1 and +1: XNOR units with thresholds of doubled sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from qonnx.custom_op.registry import getCustomOp
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import compile_graph, hardware_layers
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.dataflow.rtl.products import DotKind
from qdeploy.devices.boards import load_board
from qdeploy.ir.fixed_point import FixedPoint
from qdeploy.ir.integer_graph import Conv, Dense, IntType
from qdeploy.ir.reference import run_reference
from qdeploy.sim.design import simulate_design


class BinaryMaker(GraphMaker):
    """Weights of one bit are -1 and +1."""

    def _weights(self, shape: tuple[int, ...], bits: int) -> np.ndarray:
        if bits > 1:
            return super()._weights(shape, bits)
        return 2 * self.random.integers(0, 2, shape) - 1


def binary_network(seed: int = 0) -> BinaryMaker:
    """Bits in, padded bits inside, few and many levels, and a raw head."""
    maker = BinaryMaker(seed, (3, 7, 6), bits=1)
    maker.conv(6, weight_bits=1).threshold(bits=1)
    maker.conv(5, stride=(2, 1), weight_bits=1).threshold(bits=5, base=-16)
    maker.threshold(bits=1).conv(4, weight_bits=1).threshold(bits=1)
    maker.flatten().dense(6, weight_bits=1).threshold(bits=1)
    maker.dense(5, weight_bits=1)
    return maker


def units(model: Any) -> dict[str, Any]:
    """Layer name -> its `qd_mvu`."""
    found = {}
    for node in model.graph.node:
        if node.op_type.startswith("MVAU"):
            found[node.name] = getCustomOp(node).unit(model).instances[0].block.parameters
    return found


def test_binary_units_count_equal_bits_and_the_raw_head_does_not() -> None:
    maker = binary_network()
    graph, codes = maker.graph(), maker.frames(3)
    model = hardware_layers(graph)
    dots = [parameters["DOT"] for parameters in units(model).values()]
    assert dots == [DotKind.XNOR] * 4 + [DotKind.PLANES]
    assert [parameters["WB"] for parameters in units(model).values()] == [1, 1, 1, 1, 2]
    expected, actual = run_reference(graph, codes), DataflowExecutor(model, graph).run(codes)
    for name in graph.boundaries():
        assert_array_equal(actual[name], expected[name], err_msg=name)


@pytest.mark.parametrize("change", ["a zero weight", "two bits in", "signed bits in"])
def test_anything_else_is_no_binary_unit(change: str) -> None:
    maker = BinaryMaker(1, (6,), bits=2 if change == "two bits in" else 1)
    if change == "signed bits in":
        name = maker.now.name
        maker.tensors[name] = maker.now = replace(maker.now, dtype=IntType(1, True), lo=-1, hi=0)
    maker.dense(4, weight_bits=1)
    if change == "a zero weight":
        node = maker.nodes[-1]
        assert isinstance(node, Dense)
        node.weights[1, 2] = 0
    graph = maker.threshold(bits=2).graph()
    assert [parameters["DOT"] for parameters in units(hardware_layers(graph)).values()] == [
        DotKind.PLANES
    ]


def test_doubled_sums_reach_the_doubled_thresholds() -> None:
    maker = BinaryMaker(2, (3, 5, 5), bits=1).conv(8, weight_bits=1)
    graph = maker.threshold(bits=3).graph()
    conv, threshold = graph.nodes
    assert isinstance(conv, Conv)
    model = hardware_layers(graph)
    node = next(n for n in model.graph.node if n.op_type.startswith("MVAU"))
    inst = getCustomOp(node)
    rows = conv.weights.transpose(0, 2, 3, 1).reshape(8, -1)
    bits = np.random.default_rng(0).integers(0, 2, (100, rows.shape[1]))
    plain, doubled = bits @ rows.T, (2 * bits - 1) @ rows.T
    for channel in range(8):
        met = plain[:, channel, None] >= threshold.thresholds[channel]
        assert_array_equal(doubled[:, channel, None] >= inst.table(model)[channel], met)
    top = 1 << (inst.accumulator_bits(model) - 1)
    assert -top <= inst.table(model).min()
    assert inst.table(model).max() < top
    assert top >= rows.shape[1]


@pytest.mark.parametrize("even", [False, True])
def test_fixed_point_numbers_of_doubled_sums_give_the_same_codes(even: bool) -> None:
    maker = BinaryMaker(3, (20,), bits=1).dense(4, weight_bits=1).threshold(bits=5)
    model = hardware_layers(maker.graph())
    inst = getCustomOp(model.graph.node[0])
    plain = FixedPoint(np.array([0, 3, 9, 12]), np.array([30, 6, 100, 4]), 3, even, 0, 31)
    inst.set_fixed_point(plain)
    doubled = inst.fixed_point(model)
    sums = np.tile(np.arange(-20, 21), (4, 1))
    rows = model.get_initializer(model.graph.node[0].input[1]).astype(np.int64).sum(axis=0)
    assert_array_equal(doubled.codes(2 * sums - rows[:, None]), plain.codes(sums))


@pytest.mark.slow
def test_the_stitched_design_gives_every_code_under_stalls(tmp_path: Path) -> None:
    maker = binary_network(4)
    graph, codes = maker.graph(), maker.frames(5)
    compiled = compile_graph(graph, load_board("pynq-z2"), tmp_path / "rtl", fps=2e4)
    simulator = simulate_design(
        tmp_path / "rtl", compiled.design, tmp_path / "models", optimize="-O0"
    )
    expected = run_reference(graph, codes)
    for stall in (0.0, 0.4):
        run = simulator.run(codes, stall_in=stall, stall_out=stall, seed=1)
        found = run.taps | {graph.output: run.outputs}
        for name in graph.boundaries():
            assert_array_equal(found[name], expected[name], err_msg=name)
