"""A design whose last layers need not all pixels of the first ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import compile_graph
from qdeploy.devices.boards import load_board
from qdeploy.ir.reference import run_reference
from qdeploy.sim.design import simulate_design


def test_pixels_that_no_window_needs_still_reach_their_taps(tmp_path: Path) -> None:
    maker = GraphMaker(1, (1, 12, 12), bits=3).conv(4).threshold()
    maker.conv(2, (1, 1), (4, 4), (0, 0, 0, 0)).threshold()  # rows 9 to 11 are read by nobody
    graph, codes = maker.graph(), maker.frames(4)
    compiled = compile_graph(graph, load_board("pynq-z2"), tmp_path / "rtl", fps=10_000)
    simulator = simulate_design(tmp_path / "rtl", compiled.design, tmp_path / "sim", optimize="-O0")
    found, expected = simulator.run(codes).taps, run_reference(graph, codes)
    for name in graph.boundaries():
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
