"""Many levels: multiplied where fixed-point numbers give the same codes, searched elsewhere."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qonnx.custom_op.registry import getCustomOp
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import compile_graph, connect, hardware_layers
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.dataflow.finn.fit_requantization import channel_intervals
from qdeploy.dataflow.finn.nodes import REQUANTIZE
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.file import FoldingConstraint
from qdeploy.dataflow.folding.fold import fold
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import IntegerGraph, IntType, Threshold
from qdeploy.ir.intervals import Intervals
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.quantizer import Quantizer
from qdeploy.lowering.integers.thresholds import threshold_table
from qdeploy.sim.design import simulate_design

BUDGET = Budget(lut=53200, bram36=140, dsp=220)


class AffineMaker(GraphMaker):
    """Thresholds as a quantizer makes them: code = round_half_even(gain · n + offset)."""

    def quantize(
        self, bits: int, gain: float | None = None, *, offset: float | None = None, base: int = 0
    ) -> AffineMaker:
        """Gains and offsets drawn so that codes are spread, unless given; channel 0 is dead."""
        self.threshold(bits, base)
        node = self.nodes.pop()
        assert isinstance(node, Threshold)
        rows = len(node.thresholds)
        graph = IntegerGraph("part", "x", node.output, (*self.nodes, node), self.tensors)
        acc = channel_intervals(graph, node.inputs[0])
        spread = 2**bits / (max(acc.hi) - min(acc.lo))
        gains = self.random.uniform(0.5 * spread, 4 * spread, rows)
        offsets = self.random.normal(0, 2**bits / 8, rows)
        exact = [Fraction(float(g)) if gain is None else Fraction(gain) for g in gains]
        shifts = [Fraction(float(b)) if offset is None else Fraction(offset) for b in offsets]
        if rows > 2:
            exact[0], shifts[0] = Fraction(0), Fraction(base + 3)
        quantizer = Quantizer(Fraction(1), base, base + 2**bits - 1)
        table = threshold_table(exact, shifts, quantizer, acc)
        self.nodes.append(replace(node, thresholds=table))
        return self


def small_network(seed: int = 0) -> AffineMaker:
    """Everything that makes codes of many levels: units, a join, codes, sums of pixels, a bias."""
    maker = AffineMaker(seed, (2, 6, 6))
    maker.conv(6, weight_bits=8)
    maker.quantize(7)
    start = maker.mark()
    maker.depthwise(weight_bits=4)
    maker.quantize(8, base=-128)
    maker.conv(6, weight_bits=3)
    long = maker.quantize(8, base=-128).mark()
    maker.back_to(start)
    maker.quantize(8, 0.5, offset=-8.0, base=-128).add(long)
    maker.quantize(5, 0.25, offset=2.0)
    maker.global_sum()
    maker.quantize(6)
    maker.dense(5, weight_bits=4).bias()
    maker.quantize(5, base=-16)
    return maker


def blocks_of(model: Any) -> dict[str, Any]:
    """Layer name -> what makes its codes, for layers of many levels."""
    found = {}
    for node in model.graph.node:
        for instance in getCustomOp(node).unit(model).instances:
            if instance.block.module in ("qd_requant", "qd_threshold"):
                found[node.name] = instance.block
    return found


def multiplied(model: Any) -> list[FoldingConstraint]:
    """Every layer that can multiply is to do so, however dear DSP blocks are."""
    return [
        FoldingConstraint(node.name, {REQUANTIZE: 1}, "test")
        for node in model.graph.node
        if getattr(getCustomOp(node), "has_fixed_point", bool)()
    ]


def test_every_affine_layer_is_multiplied_and_still_executes_its_thresholds() -> None:
    maker = small_network()
    graph, codes = maker.graph(), maker.frames(3)
    model = hardware_layers(graph)
    fold(model, BUDGET, constraints=multiplied(model))
    blocks = blocks_of(model)
    assert len(blocks) == 7
    assert {block.module for block in blocks.values()} == {"qd_requant"}
    ties = [name for name, block in blocks.items() if block.parameters["EVEN"]]
    assert ties == ["act6_threshold_thres", "act8_threshold_thres"]
    expected, actual = run_reference(graph, codes), DataflowExecutor(model, graph).run(codes)
    for name in graph.boundaries():
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)
        assert len(np.unique(expected[name])) > 4, name


def test_thresholds_of_no_line_are_searched() -> None:
    maker = AffineMaker(1, (3, 5, 5)).conv(4).threshold(bits=6)
    model = hardware_layers(maker.graph())
    fold(model, BUDGET)
    assert [block.module for block in blocks_of(model).values()] == ["qd_threshold"]


@pytest.mark.parametrize("dsp", [220, 6, 0])
def test_thresholds_are_searched_where_dsp_blocks_run_out(dsp: int) -> None:
    model = hardware_layers(small_network().graph())
    fold(model, Budget(lut=53200, bram36=140, dsp=dsp))
    blocks = blocks_of(model).values()
    in_dsp = [b for b in blocks if b.parameters.get("USE_DSP") == 1]
    assert sum(int(b.parameters["PE"]) for b in in_dsp) <= dsp
    assert dsp > 100 or any(b.module == "qd_threshold" for b in blocks)


def test_folding_again_with_dearer_luts_multiplies_again() -> None:
    model = hardware_layers(small_network().graph())
    fold(model, Budget(lut=53200, bram36=140, dsp=0), 5000)
    assert "qd_threshold" in {block.module for block in blocks_of(model).values()}
    fold(model, Budget(lut=5000, bram36=140, dsp=100_000), 5000)
    assert {block.module for block in blocks_of(model).values()} == {"qd_requant"}


def test_intervals_of_sums_are_per_channel() -> None:
    maker = AffineMaker(3, (2, 4, 4), bits=3).conv(3)
    first = maker.mark()
    graph = maker.graph()
    each = channel_intervals(graph, first.name)
    assert len(set(zip(each.lo, each.hi, strict=True))) > 1
    assert each.bounds == (first.lo, first.hi)
    codes = maker.threshold(bits=3, base=-4).mark()
    total = maker.global_sum().mark()
    assert channel_intervals(maker.graph(), codes.name) == Intervals((-4,) * 3, (3,) * 3)
    assert channel_intervals(maker.graph(), total.name) == Intervals((-64,) * 3, (48,) * 3)
    assert total.dtype == IntType(7, True)


@pytest.mark.slow
def test_the_stitched_design_gives_every_code_under_stalls(tmp_path: Path) -> None:
    maker = small_network(2)
    graph, codes = maker.graph(), maker.frames(4)
    constraints = multiplied(hardware_layers(graph))
    compiled = compile_graph(
        graph, load_board("pynq-z2"), tmp_path / "rtl", fps=2e4, constraints=constraints
    )
    assert len(list((tmp_path / "rtl").glob("*_m.hex"))) == 7
    assert blocks_of(connect(compiled.hardware))
    simulator = simulate_design(
        tmp_path / "rtl", compiled.design, tmp_path / "models", optimize="-O0"
    )
    expected = run_reference(graph, codes)
    for stall in (0.0, 0.4):
        run = simulator.run(codes, stall_in=stall, stall_out=stall, seed=1)
        found = run.taps | {graph.output: run.outputs}
        for name in graph.boundaries():
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
