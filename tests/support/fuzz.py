"""A random network at every level: QONNX, integers, onnxruntime, FINN, RTL with stalls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from judged import judged
from random_qonnx import QonnxMaker
from same_graph import assert_same_graph

from qdeploy.build_folder import GRAPH_FILE
from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.dataflow.compile import Compiled, compile_graph
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.dataflow.rtl.products import DotKind
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.errors import FoldingError
from qdeploy.ir.file import read_graph, write_graph
from qdeploy.ir.integer_graph import IntegerGraph, Threshold
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.builder import Lowered
from qdeploy.lowering.integers.lower import lower_with_affine
from qdeploy.sim.design import simulate_design
from qdeploy.verify.compare import compare
from qdeploy.verify.float_levels import qonnx_level

# Frames per second at 100 MHz, from units that do one thing per cycle to unrolled ones.
RATES = (3e3, 2e4, 1.5e5)
# What the wrapper of a layer says where it holds one of these.
UNITS = {
    "requantization": "qd_requant #",
    "search of thresholds": "qd_threshold #",
    "binary units": f".DOT({DotKind.XNOR})",
    "windows a beat": "qd_window_parallel #",
}


@dataclass(frozen=True)
class Outcome:
    """What a network's check found: codes compared with RTL, its size, what it held."""

    boundaries: int
    codes: int
    cycles_per_frame: int
    features: frozenset[str]


def check(
    network: QonnxMaker, work: Path, models: Path, *, frames: int = 4, seed: int = 0
) -> Outcome:
    """Compare every level of a network with the exact integers, at every boundary.

    Args:
        work: folder for its file and its design; `models`: folder of Verilator models, shared
            between checks.
        seed: of the frames, the stalls and the rate it is folded for.

    Raises:
        AssertionError: two levels differ where they must not.
    """
    path = network.save(work / "network.onnx")
    argmax = "argmax" in network.features
    lowered = lower_with_affine(path, argmax=argmax)
    graph = _through_a_file(lowered.graph, work / GRAPH_FILE)
    source = graph.tensors[graph.input]
    random = np.random.default_rng(seed)
    codes = random.integers(source.dtype.lo, source.dtype.hi + 1, (frames, *source.shape))
    codes[0], codes[-1] = source.dtype.hi, source.dtype.lo
    exact, names = run_reference(graph, codes), graph.boundaries()
    verdict = judged(path, codes, qonnx_level(path, graph, codes), argmax=argmax)
    assert verdict.wrong == 0, verdict
    emit_onnx(graph, work / "int.onnx", taps=True)
    for level in ("disable", "all"):
        found = IntSimulator(work / "int.onnx", level=level).run(codes)
        assert compare(names, exact, found).first is None, (level, compare(names, exact, found))
    compiled = _compile(graph, work / "rtl", RATES[seed % len(RATES)])
    dataflow = compare(names, exact, DataflowExecutor(compiled.hardware, graph).run(codes))
    assert dataflow.first is None, dataflow.first
    simulator = simulate_design(work / "rtl", compiled.design, models, optimize="-O0")
    for stall in (0.0, 0.4):
        run = simulator.run(codes, stall_in=stall, stall_out=stall, seed=seed)
        rtl = compare(names, exact, run.taps | {graph.output: run.outputs})
        assert rtl.first is None, rtl.first
    features = network.features | _of_thresholds(lowered) | _of_units(compiled.design, work / "rtl")
    return Outcome(len(names), rtl.codes, run.cycles_per_frame, frozenset(features))


def _through_a_file(graph: IntegerGraph, path: Path) -> IntegerGraph:
    """The graph as it comes back from its file; writing it again gives the same bytes."""
    write_graph(graph, path)
    found, first = read_graph(path), path.read_bytes()
    assert_same_graph(found, graph)
    write_graph(found, path)
    assert path.read_bytes() == first
    return found


def _compile(graph: IntegerGraph, folder: Path, fps: float) -> Compiled:
    """Fold for a rate, or for the next that every layer reaches."""
    try:
        return compile_graph(graph, load_board("pynq-z2"), folder, fps=fps)
    except FoldingError:
        return _compile(graph, folder, fps / 4)


def _of_thresholds(lowered: Lowered) -> set[str]:
    """Features of the tables: thresholds that coincide, that nothing reaches, wide outputs."""
    found = set()
    for node in lowered.graph.nodes:
        if not isinstance(node, Threshold):
            continue
        if node.inputs[0] not in lowered.intervals:
            continue
        interval = lowered.intervals[node.inputs[0]]
        hi = np.array(interval.hi)[:, None]
        inside = (node.thresholds > np.array(interval.lo)[:, None]) & (node.thresholds <= hi)
        same = np.diff(node.thresholds, axis=1) == 0
        if (same & inside[:, 1:]).any():
            found.add("equal thresholds")
        if ((node.thresholds > hi) & inside.any(axis=1, keepdims=True)).any():
            found.add("unreachable thresholds")
        if node.thresholds.shape[1] > 15:
            found.add("more than 15 levels")
    return found


def _of_units(design: Design, folder: Path) -> set[str]:
    """Features of the hardware: which kinds of units a design holds."""
    text = "".join((folder / f"{layer.module}.v").read_text() for layer in design.layers)
    return {name for name, mark in UNITS.items() if mark in text}
