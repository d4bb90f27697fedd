"""Windows pause: what comes in meanwhile waits in a FIFO and stops nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from qonnx.custom_op.registry import getCustomOp
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import hardware_layers, with_converters, with_fifos
from qdeploy.dataflow.fifos.depths import SHALLOW
from qdeploy.dataflow.fifos.sites import fifo_sites
from qdeploy.dataflow.stitching.stitch import stitch
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.sim.design import simulate_design

# Lanes of the matrix units by the length of their rows. Those of the two 3x3 kernels after the
# fork take as long as the layer before it: none may ever wait for another.
SIMD = {27: 27, 72: 18, 8: 8}


def strided_block() -> tuple[IntegerGraph, GraphMaker]:
    """A residual block with stride 2 after a layer that takes as long."""
    maker = GraphMaker(5, (3, 12, 12)).conv(8).threshold()
    start = maker.mark()
    shortcut = maker.conv(8, (1, 1), (2, 2), (0, 0, 0, 0)).threshold(bits=4, base=-8).mark()
    maker.back_to(start).conv(8, stride=(2, 2)).threshold().conv(8).threshold(bits=4, base=-8)
    maker.add(shortcut).threshold()
    return maker.graph(), maker


def folded(graph: IntegerGraph, *, whole: bool = True, ahead: int = 0):
    """Its hardware layers, with windows that are whole or one kernel position per beat."""
    model = hardware_layers(graph)
    for node in model.graph.node:
        if not node.op_type.startswith("MVAU"):
            continue
        unit, window = getCustomOp(node), model.find_producer(node.input[0])
        channels = getCustomOp(window).get_nodeattr("IFMChannels")
        simd = SIMD[unit.get_nodeattr("MW")] if whole else channels
        unit.set_nodeattr("PE", 1)
        unit.set_nodeattr("SIMD", simd)
        getCustomOp(window).set_nodeattr("parallel_window", int(simd > channels))
        getCustomOp(window).set_nodeattr("rows_ahead", ahead)
        while window.op_type.startswith(("ConvolutionInputGenerator", "FMPadding")):
            getCustomOp(window).set_nodeattr("SIMD", min(simd, channels))
            window = model.find_producer(window.input[0])
            if window is None:
                break
    return with_converters(model)


def test_a_strided_block_after_a_fork_takes_the_cycles_that_are_predicted(tmp_path: Path) -> None:
    graph, maker = strided_block()
    model = with_fifos(folded(graph))
    design = stitch(model, graph, tmp_path / "rtl", load_board("pynq-z2"), 100.0)
    simulator = simulate_design(
        tmp_path / "rtl", design, tmp_path / "models", taps=False, optimize="-O0"
    )
    measured = simulator.run(maker.frames(5)).cycles_per_frame
    assert design.cycles_per_frame == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize(
    ("whole", "ahead", "rows"),
    [
        # A whole window of stride 2 skips a row at a time, and one on the padding below takes
        # none of the next frame's rows.
        (True, 0, {"conv4_conv_pad": 1, "conv6_conv_pad": 1}),
        # A memory with as many rows again takes all that comes,
        (False, 0, {}),
        # and one with a single row ahead is short of one; with a 1x1 kernel it drops that.
        (False, 1, {"conv4_conv_pad": 1, "conv6_conv_pad": 1}),
    ],
)
def test_a_fifo_holds_the_rows_that_its_window_has_no_room_for(
    whole: bool, ahead: int, rows: dict[str, int]
) -> None:
    graph, _ = strided_block()
    found = {
        site.stream.removesuffix(".0"): site.analytic
        for site in fifo_sites(folded(graph, whole=whole, ahead=ahead))
        if "add" not in site.stream
    }
    # There is no FIFO after the fork where nothing waits.
    assert found.pop("conv2_conv_window") == 0
    assert found.pop("conv0_conv_pad") == found.pop("conv0_conv_fork") == SHALLOW
    words = {"conv4_conv_pad": 12, "conv6_conv_pad": 6}  # a row of pixels
    least = {"conv4_conv_pad": 0, "conv6_conv_pad": SHALLOW}
    assert found == {
        name: SHALLOW + rows[name] * words[name] if name in rows else least[name] for name in found
    }
    assert set(found) == set(words)


def test_a_long_pipeline_without_taps_is_not_taken_for_a_deadlock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qdeploy.sim.design.IDLE_CYCLES", 0)
    maker = GraphMaker(7, (2, 6, 6))
    for _ in range(20):
        maker.conv(2).threshold()
    graph = maker.graph()
    model = with_fifos(with_converters(hardware_layers(graph)))
    design = stitch(model, graph, tmp_path / "rtl", load_board("pynq-z2"), 100.0)
    simulator = simulate_design(
        tmp_path / "rtl", design, tmp_path / "models", taps=False, optimize="-O0"
    )
    latency = simulator.run(maker.frames(1)).latency_cycles
    # The frame is in after one layer's cycles; then no port moves for longer than four frames.
    assert latency > 5 * design.cycles_per_frame
