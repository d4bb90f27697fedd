"""A graph compiled and simulated with stalls on both sides, against the reference."""

from __future__ import annotations

from pathlib import Path

from qdeploy.dataflow.compile import compile_graph
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.ir.reference import run_reference
from qdeploy.sim.design import simulate_design
from qdeploy.verify.compare import compare


def mismatches_in_rtl(
    graph: IntegerGraph, codes: IntArray, folder: Path, fps: float = 3e3
) -> tuple[int, int]:
    """Codes at all boundaries of the RTL that differ from the integer graph's, and all codes."""
    compiled = compile_graph(graph, load_board("pynq-z2"), folder / "rtl", fps=fps)
    simulator = simulate_design(folder / "rtl", compiled.design, folder / "sim", optimize="-O0")
    run = simulator.run(codes, stall_in=0.4, stall_out=0.4, seed=1)
    found = run.taps | {graph.output: run.outputs}
    result = compare(graph.boundaries(), run_reference(graph, codes), found)
    return result.mismatches, result.codes
