"""Several pixels per beat: the same codes, fewer cycles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import GraphMaker, small_convnet, small_mobilenet, small_resnet

from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.dataflow.compile import compile_graph, hardware_layers
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.file import FoldingConstraint, read_folding
from qdeploy.dataflow.folding.multi_pixel import fold_multi_pixel
from qdeploy.dataflow.folding.pixels import multi_pixel_choices, with_multi_pixel
from qdeploy.devices.boards import load_board
from qdeploy.errors import FoldingError
from qdeploy.ir.reference import run_reference
from qdeploy.sim.design import simulate_design

BOARD = load_board("pynq-z2")
BUDGET = Budget.of(BOARD)


def assert_same(maker: GraphMaker, pixels: int) -> int:
    """Every layer that can take `pixels` per beat does; returns how many did."""
    graph, frames = maker.graph(), maker.frames(3)
    model = hardware_layers(graph)
    chosen = {name: pixels for name, known in multi_pixel_choices(model).items() if pixels in known}
    wanted = DataflowExecutor(model, graph).run(frames)
    found = DataflowExecutor(with_multi_pixel(model, chosen), graph).run(frames)
    assert wanted.keys() == found.keys()
    for name, codes in wanted.items():
        np.testing.assert_array_equal(found[name], codes, err_msg=name)
    return len(chosen)


@settings(max_examples=12, deadline=None)
@given(
    width=st.sampled_from([4, 6, 8, 12]),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    left=st.integers(0, 2),
    right=st.integers(0, 2),
    pixels=st.sampled_from([2, 3, 4]),
    seed=st.integers(0, 99),
)
def test_any_convolution_gives_the_same_codes(
    width: int, kernel: int, stride: int, dilation: int, left: int, right: int, pixels: int, seed
) -> None:
    right = max(right, dilation * (kernel - 1) + 1 - width - left)
    maker = GraphMaker(seed, (2, 5, width), bits=4)
    maker.conv(3, (2, kernel), (1, stride), (1, left, 0, right), (1, dilation)).threshold()
    assert_same(maker, pixels)


def test_whole_networks_give_the_same_codes() -> None:
    assert assert_same(small_resnet(), 2) == 13
    assert assert_same(small_resnet(), 4) == 13
    maker = GraphMaker(3, (3, 8, 8)).conv(4, stride=(2, 2)).threshold(bits=8, base=-128)
    maker.conv(6, (1, 1), (1, 1), (0, 0, 0, 0)).bias().threshold(bits=4).conv(3)
    assert assert_same(maker, 2) == 5


@pytest.mark.parametrize("channels", [1, 3])
def test_a_map_of_one_channel_takes_several_pixels_down_to_the_hardware(
    channels: int, tmp_path: Path
) -> None:
    maker = GraphMaker(4, (2, 4, 10)).conv(channels, (1, 1), pads=(0, 0, 0, 0)).threshold(bits=4)
    graph = maker.conv(2, (3, 3)).threshold().graph()
    constraint = FoldingConstraint(f"{graph.nodes[0].layer}_conv_mvau", {"M": 5}, "a test")
    compiled = compile_graph(graph, BOARD, tmp_path / "rtl", constraints=[constraint])
    assert compiled.folding.attributes[constraint.layer]["M"] == 5
    frames = maker.frames(3)
    expected = run_reference(graph, frames)
    simulator = simulate_design(tmp_path / "rtl", compiled.design, tmp_path, optimize="-O0")
    run = simulator.run(frames)
    for name in graph.boundaries():
        found = run.outputs if name == graph.output else run.taps[name]
        np.testing.assert_array_equal(found, expected[name], err_msg=name)


def test_pools_depthwise_and_binary_units_take_one_pixel() -> None:
    model = hardware_layers(small_convnet().graph())
    assert multi_pixel_choices(model)["pool2_max_pool"] == {1: 72}
    choices = multi_pixel_choices(hardware_layers(small_mobilenet().graph()))
    assert {tuple(known) for name, known in choices.items() if name.endswith("vvau")} == {(1,)}
    binary = GraphMaker(2, (3, 4, 4), bits=1).conv(4)
    signs = replace(binary.nodes[0], weights=np.where(binary.nodes[0].weights < 0, -1, 1))
    binary.nodes[0] = signs
    model = hardware_layers(binary.threshold().graph())
    assert list(multi_pixel_choices(model)["conv0_conv_mvau"]) == [1]


def strided() -> GraphMaker:
    maker = GraphMaker(5, (1, 12, 12), bits=4).conv(3, stride=(2, 2)).threshold()
    return maker.conv(3).threshold().conv(4, stride=(2, 2)).threshold()


@pytest.mark.parametrize("fps", [None, 1e6])
def test_a_design_beyond_one_pixel_a_cycle_is_exact_in_rtl(tmp_path: Path, fps) -> None:
    """12x12 pixels take 144 cycles, 196 with the padding, one by one."""
    maker = strided()
    graph, frames = maker.graph(), maker.frames(4)
    compiled = compile_graph(graph, BOARD, tmp_path / "rtl", fps=fps)
    design = compiled.design
    assert design.cycles_per_frame <= 100
    assert any(layer.folding.get("M", 1) > 1 for layer in design.layers)
    simulator = simulate_design(tmp_path / "rtl", design, tmp_path / "sim", optimize="-O0")
    emit_onnx(graph, tmp_path / "int.onnx", taps=True)
    wanted = IntSimulator(tmp_path / "int.onnx").run(frames)
    free = simulator.run(frames)
    for found in (free, simulator.run(frames, stall_in=0.3, stall_out=0.3, seed=1)):
        np.testing.assert_array_equal(found.outputs, wanted[graph.output])
        for name, codes in found.taps.items():
            np.testing.assert_array_equal(codes, wanted[name], err_msg=name)
    assert free.cycles_per_frame == pytest.approx(design.cycles_per_frame, rel=0.02)


def test_a_folding_file_brings_the_same_pixels_back(tmp_path: Path) -> None:
    graph = strided().graph()
    first = compile_graph(graph, BOARD, tmp_path / "rtl", fps=8e5)
    constraints = read_folding(tmp_path / "folding.yaml")
    assert any(constraint.values.get("M", 1) > 1 for constraint in constraints)
    again = compile_graph(
        graph, BOARD, tmp_path / "again" / "rtl", fps=8e5, constraints=constraints
    )
    assert again.folding.attributes == first.folding.attributes


def test_an_illegal_number_of_pixels_is_told_the_nearest() -> None:
    model = hardware_layers(strided().graph())
    constraint = FoldingConstraint("conv0_conv_mvau", {"M": 5}, "folding.yaml:3")
    with pytest.raises(FoldingError, match="`conv0_conv_mvau` cannot have M 5") as caught:
        fold_multi_pixel(model, BUDGET, constraints=[constraint])
    assert caught.value.where == "folding.yaml:3"
    assert caught.value.do in ("the nearest is M 4", "the nearest is M 6")


def test_one_pixel_stays_where_it_is_enough_or_more_would_not_fit() -> None:
    slow = fold_multi_pixel(hardware_layers(strided().graph()), BUDGET, 400)[1]
    maker = GraphMaker(5, (8, 6, 6), bits=2).conv(16).threshold().conv(16).threshold()
    tight = fold_multi_pixel(hardware_layers(maker.graph()), Budget(lut=2500, bram36=2, dsp=0))[1]
    assert tight.solution.cycles > 8 * 8  # fewer lanes than a pixel per cycle would take
    for folding in (slow, tight):
        assert not any("M" in values for values in folding.attributes.values())
