"""Residual networks: forks, joins and the FIFOs between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from qonnx.custom_op.registry import getCustomOp
from random_graphs import GraphMaker, small_resnet

from qdeploy.dataflow.compile import connect, hardware_layers
from qdeploy.dataflow.finn.boundaries import boundary_of
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.fold import fold
from qdeploy.ir.integer_graph import IntType, Threshold
from qdeploy.ir.reference import run_reference

BUDGET = Budget(lut=53200, bram36=140, dsp=220)


def assert_same_codes(maker: GraphMaker, frames: int = 3) -> None:
    graph, codes = maker.graph(), maker.frames(frames)
    expected = run_reference(graph, codes)
    actual = DataflowExecutor(hardware_layers(graph), graph).run(codes)
    for name in graph.boundaries():
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


def test_a_residual_network_becomes_hardware_layers() -> None:
    assert_same_codes(small_resnet())


def test_depthwise_blocks_with_a_linear_bottleneck_become_hardware_layers() -> None:
    maker = GraphMaker(2, (3, 7, 6)).conv(4, weight_bits=8).threshold(bits=4, base=-8)
    start = maker.mark()
    maker.conv(10, (1, 1), (1, 1), (0, 0, 0, 0)).threshold(bits=3)
    maker.depthwise().threshold(bits=3)
    maker.conv(4, (1, 1), (1, 1), (0, 0, 0, 0)).threshold(bits=4, base=-8).add(start)
    maker.threshold(bits=4, base=-8).depthwise(stride=(2, 2), weight_bits=4).threshold(bits=6)
    assert_same_codes(maker.global_sum().dense(5, weight_bits=8))


def test_overlapping_padded_max_pool_becomes_hardware_layers() -> None:
    maker = GraphMaker(5, (1, 9, 9)).conv(3, (7, 7), (2, 2), (3, 3, 3, 3)).threshold()
    assert_same_codes(maker.max_pool((3, 3), (2, 2), (1, 1, 1, 1)).conv(2).threshold())


def test_dilated_convolution_becomes_hardware_layers() -> None:
    maker = GraphMaker(6, (2, 9, 8)).conv(3, dilation=(2, 2), pads=(2, 2, 2, 2)).threshold()
    assert_same_codes(maker.depthwise(dilation=(2, 3), pads=(2, 3, 2, 3)).threshold())


def test_one_tensor_to_three_branches_becomes_hardware_layers() -> None:
    maker = GraphMaker(7, (4, 6, 6)).conv(4).threshold(bits=3)
    start = maker.mark()
    first = maker.conv(4).threshold(bits=3).mark()
    second = maker.back_to(start).conv(4, (1, 1), (1, 1), (0, 0, 0, 0)).threshold(bits=3).mark()
    maker.back_to(start).add(first).threshold(bits=3).add(second).threshold()
    assert_same_codes(maker)


def test_a_fork_behind_a_max_pool_keeps_both_branches_behind_it() -> None:
    maker = GraphMaker(9, (2, 4, 4)).conv(3).threshold(bits=4).max_pool()
    start = maker.mark()
    short = maker.threshold(bits=5, base=-16).mark()
    long = maker.back_to(start).conv(3).threshold(bits=5, base=-16)
    assert_same_codes(long.add(short).threshold())


def test_signed_codes_that_are_never_negative_become_hardware_layers() -> None:
    maker = GraphMaker(10, (2, 5, 5)).conv(3).threshold(bits=3, base=0)
    name = maker.now.name
    signed = replace(maker.now, dtype=IntType(4, True))
    maker.tensors[name] = maker.now = signed
    assert_same_codes(maker.conv(4).threshold())


def test_a_padded_max_pool_of_signed_codes_becomes_hardware_layers() -> None:
    maker = GraphMaker(8, (1, 6, 6)).conv(3).threshold(bits=3, base=-4)
    assert_same_codes(maker.max_pool((3, 3), (2, 2), (1, 1, 1, 1)))


def test_the_border_of_a_signed_max_pool_never_wins() -> None:
    maker = GraphMaker(8, (1, 6, 6)).conv(3).threshold(bits=3, base=-4)
    low = maker.nodes[-1]
    assert isinstance(low, Threshold)
    # No accumulator reaches a level: every code is the lowest, and code 0 would be larger.
    maker.nodes[-1] = replace(low, thresholds=np.full_like(low.thresholds, 1 << 20))
    graph = maker.max_pool((3, 3), (2, 2), (1, 1, 1, 1)).graph()
    codes = DataflowExecutor(hardware_layers(graph), graph).run(maker.frames(2))
    assert (codes[graph.output] == -4).all()


def test_the_branch_that_is_ahead_gets_the_deep_fifo() -> None:
    model = hardware_layers(small_resnet().graph())
    fold(model, BUDGET, 5000)
    joined = connect(model)
    depths = {
        node.name: int(getCustomOp(node).get_nodeattr("depth"))
        for node in joined.graph.node
        if node.name.startswith("add7_add_fifo")
    }
    short, long = sorted(depths.values())
    assert short == 32
    # Two 3x3 windows on 8x8 pixels of 4 channels: at least 2·(2·8 + 3) pixels are under way.
    assert long >= 2 * (2 * 8 + 3) * 4


def test_a_network_may_end_in_the_sums_over_its_pixels() -> None:
    maker = GraphMaker(11, (2, 4, 5)).conv(3).threshold(bits=3)
    assert_same_codes(maker.global_sum())


def test_the_fork_of_the_input_is_no_boundary_of_the_output() -> None:
    maker = GraphMaker(13, (2, 4, 4), bits=3)
    start = maker.mark()
    graph = maker.threshold(bits=3).add(start).global_sum().graph()
    model = hardware_layers(graph)
    assert model.graph.node[0].op_type.startswith("DuplicateStreams")
    boundaries = [boundary_of(model, node, graph) for node in model.graph.node]
    assert [name for name in boundaries if name] == graph.boundaries()
