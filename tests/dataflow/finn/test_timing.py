"""Cycles a frame as predicted, against the RTL of whole designs, back to back."""

from __future__ import annotations

from pathlib import Path

import pytest
from qonnx.custom_op.registry import getCustomOp
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import connect, hardware_layers
from qdeploy.dataflow.finn.operators import operator_name
from qdeploy.dataflow.finn.timing import macs_of
from qdeploy.dataflow.stitching.stitch import stitch
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import Conv
from qdeploy.sim.design import simulate_design


def set_lanes(model, lanes: list[tuple[int, int]]) -> None:
    """PE and SIMD of the matrix units, in order; windows are whole where SIMD is above a pixel."""
    wanted = iter(lanes)
    wide = []
    for node in model.graph.node:
        inst = getCustomOp(node)
        if node.op_type.startswith("ConvolutionInputGenerator"):
            wide.append(inst)
        if node.op_type.startswith("MVAU"):
            pe, simd = next(wanted)
            inst.set_nodeattr("PE", pe)
            inst.set_nodeattr("SIMD", simd)
            window = wide.pop()
            channels = int(window.get_nodeattr("IFMChannels"))
            window.set_nodeattr("SIMD", min(simd, channels))
            window.set_nodeattr("parallel_window", int(simd > channels))
    for node in model.graph.node:
        if node.op_type.startswith("FMPadding"):
            window = model.find_consumer(node.output[0])
            getCustomOp(node).set_nodeattr("SIMD", getCustomOp(window).get_nodeattr("SIMD"))


@pytest.mark.parametrize(
    ("lanes", "stride"),
    [
        # A pixel of 8 channels comes in 8 beats; the window behind the converter takes it whole.
        pytest.param([(1, 18), (1, 72)], (2, 2), marks=pytest.mark.slow),
        # One kernel position a beat.
        pytest.param([(1, 2), (2, 8)], (1, 1), marks=pytest.mark.slow),
        # Units that are faster than their pixels come.
        ([(8, 18), (4, 72)], (1, 1)),
    ],
)
def test_predicted_cycles_are_within_2_percent_of_rtl(
    tmp_path: Path, lanes: list[tuple[int, int]], stride: tuple[int, int]
) -> None:
    maker = GraphMaker(5, (2, 12, 12)).conv(8).threshold().conv(8, stride=stride).threshold()
    graph, codes = maker.graph(), maker.frames(5)
    model = hardware_layers(graph)
    set_lanes(model, lanes)
    design = stitch(connect(model), graph, tmp_path / "rtl", load_board("pynq-z2"), 100.0)
    simulator = simulate_design(
        tmp_path / "rtl", design, tmp_path / "models", taps=False, optimize="-O0"
    )
    measured = simulator.run(codes).cycles_per_frame
    assert design.cycles_per_frame == pytest.approx(measured, rel=0.02)


def test_a_layer_counts_the_products_that_its_weights_and_pixels_make() -> None:
    maker = GraphMaker(5, (2, 6, 7)).conv(3).threshold().dense(4)
    graph = maker.graph()
    conv = next(node for node in graph.nodes if isinstance(node, Conv))
    assert macs_of(conv, graph) == 3 * 2 * 9 * 6 * 7
    assert macs_of(graph.nodes[-1], graph) == 4 * 3 * 6 * 7
    assert macs_of(graph.nodes[1], graph) == 0


def test_the_fifo_behind_a_unit_is_on_the_wide_side_of_a_converter() -> None:
    graph = GraphMaker(5, (2, 8, 8)).conv(8).threshold().conv(4).threshold().graph()
    model = hardware_layers(graph)
    set_lanes(model, [(1, 18), (1, 72)])
    kinds = [operator_name(node.op_type) for node in connect(model).graph.node]
    unit = kinds.index("MVAU")
    assert kinds[unit : unit + 3] == ["MVAU", "StreamingDataWidthConverter", "StreamingFIFO"]
