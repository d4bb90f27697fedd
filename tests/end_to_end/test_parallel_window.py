"""Whole windows per beat in a whole design: the same codes, in fewer cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qonnx.custom_op.registry import getCustomOp
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import connect, hardware_layers
from qdeploy.dataflow.stitching.stitch import stitch
from qdeploy.devices.boards import load_board
from qdeploy.ir.reference import run_reference
from qdeploy.sim.design import simulate_design


def test_a_design_with_parallel_windows_takes_a_cycle_a_pixel(tmp_path: Path) -> None:
    maker = GraphMaker(3, (2, 8, 9)).conv(6).threshold().conv(4, stride=(2, 2)).threshold()
    maker.conv(3, dilation=(2, 1), pads=(2, 1, 2, 1)).threshold()
    graph, codes = maker.graph(), maker.frames(4)
    expected, board = run_reference(graph, codes), load_board("pynq-z2")
    model = hardware_layers(graph)
    for node in model.graph.node:
        inst = getCustomOp(node)
        if node.op_type.startswith(("ConvolutionInputGenerator", "FMPadding")):
            channels = inst.get_normal_input_shape()[-1]
            inst.set_nodeattr("SIMD", int(channels))
        if node.op_type.startswith("ConvolutionInputGenerator"):
            inst.set_nodeattr("parallel_window", 1)
        if node.op_type.startswith("MVAU"):
            inst.set_nodeattr("SIMD", inst.get_nodeattr("MW"))
            inst.set_nodeattr("PE", inst.get_nodeattr("MH"))
    design = stitch(connect(model), graph, tmp_path / "rtl", board, 100.0)
    simulator = simulate_design(tmp_path / "rtl", design, tmp_path / "models", optimize="-O0")
    for stall in (0.4, 0.0):
        run = simulator.run(codes, stall_in=stall, stall_out=stall, seed=1)
        for name in graph.boundaries():
            found = run.outputs if name == graph.output else run.taps[name]
            np.testing.assert_array_equal(found, expected[name], err_msg=name)
    # One kernel position per cycle would take 8 * 9 * 9; a pixel of the padded map is one cycle.
    assert run.cycles_per_frame <= 10 * 11 + 8
