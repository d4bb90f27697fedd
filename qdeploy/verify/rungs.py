"""One function a rung: run a level on the frames and compare it with the integer graph."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.build_folder import HARDWARE_FILE, INT_FILE, QONNX_FILE, RTL_FOLDER, SIM_FOLDER
from qdeploy.design.manifest import Design
from qdeploy.ir.integer_graph import ArgMax, IntArray, IntegerGraph
from qdeploy.verify.compare import Comparison, class_mismatches, compare
from qdeploy.verify.levels import Levels
from qdeploy.verify.performance import measure, write_performance
from qdeploy.verify.results import Rung

if TYPE_CHECKING:
    from qdeploy.codegen.onnx.session import Level
    from qdeploy.verify.float_levels import Difference

Reference = Mapping[str, IntArray]

LEVELS: tuple[Level, ...] = ("disable", "basic", "extended", "all")
# Differing codes listed one by one in verify.json.
LISTED = 1000


def integer_codes(graph: IntegerGraph, frames: IntArray) -> dict[str, IntArray]:
    """Codes at every boundary from the integer graph in onnxruntime, the reference for the rest."""
    from qdeploy.codegen.onnx.model import emit_onnx
    from qdeploy.codegen.onnx.session import IntSimulator

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "taps.onnx"
        emit_onnx(graph, path, taps=True)
        return _as_int64(IntSimulator(path).run(frames))


def torch_rung(levels: Levels, reference: Reference) -> Rung:
    """The Brevitas network in eval mode against the integer graph.

    Batch norm computes with the scales and biases of the exported file. How far the network with
    its batch norm as trained, which rounds differently, is from that stands in the details.
    """
    if levels.network is None:
        return Rung("torch", skipped="there is no trained network beside the QONNX file")
    from qdeploy.lowering.from_torch.export import deployed_network
    from qdeploy.verify.float_levels import torch_codes

    deployed = deployed_network(levels.network, levels.build / QONNX_FILE)
    actual = torch_codes(deployed, levels.graph, levels.frames)
    rung = _float_rung("torch", levels, reference, actual)
    live = torch_codes(levels.network, levels.graph, levels.frames)
    trained = _float_rung("torch", levels, reference, live)
    figures = {
        "codes": trained.codes,
        "mismatches": trained.mismatches,
        "origins": trained.origins,
        "class_mismatches": trained.class_mismatches,
    }
    return replace(rung, details=rung.details | {"batch_norm_as_trained": figures})


def qonnx_rung(levels: Levels, reference: Reference) -> Rung:
    """The QONNX file in the official executor against the integer graph."""
    from qdeploy.verify.float_levels import qonnx_codes

    count = min(levels.qonnx_frames, len(levels.frames))
    actual = qonnx_codes(levels.build / QONNX_FILE, levels.graph, levels.frames[:count])
    return _float_rung("qonnx", levels, reference, actual)


def int_rung(levels: Levels, reference: Reference) -> Rung:
    """The file users get, at every optimization level of onnxruntime, against int64 arithmetic."""
    from qdeploy.codegen.onnx.model import emit_onnx
    from qdeploy.codegen.onnx.session import IntSimulator
    from qdeploy.ir.reference import run_reference

    names = levels.graph.boundaries()
    exact = run_reference(levels.graph, levels.frames)
    total = compare(names, exact, reference)
    codes, mismatches = total.codes, total.mismatches
    first = total.first
    with tempfile.TemporaryDirectory() as folder:
        tapped = Path(folder) / "taps.onnx"
        emit_onnx(levels.graph, tapped, taps=True)
        for level in LEVELS:
            for path, checked in ((tapped, names), (levels.build / INT_FILE, names[-1:])):
                found = _as_int64(IntSimulator(path, level=level).run(levels.frames))
                part = compare(checked, exact, found)
                codes, mismatches = codes + part.codes, mismatches + part.mismatches
                first = first or part.first
    return Rung(
        "int",
        frames=total.frames,
        boundaries=total.boundaries,
        codes=codes,
        mismatches=mismatches,
        note=first.sentence() if first else "",
        details={"optimization_levels": list(LEVELS), "against": "int64 arithmetic in numpy"},
    )


def dataflow_rung(levels: Levels, reference: Reference) -> Rung:
    """FINN's hardware layers, node by node."""
    from qdeploy.dataflow.finn.execute import DataflowExecutor
    from qdeploy.dataflow.finn.operators import register

    register()
    from qonnx.core.modelwrapper import ModelWrapper

    hardware = ModelWrapper(str(levels.build / HARDWARE_FILE))
    actual = DataflowExecutor(hardware, levels.graph).run(levels.frames)
    return _exact("dataflow", compare(levels.graph.boundaries(), reference, actual))


def rtl_rung(levels: Levels, reference: Reference) -> Rung:
    """The stitched design in Verilator: stalled frames compared, unstalled ones also timed."""
    from qdeploy.sim.design import simulate_design

    folder = levels.build / RTL_FOLDER
    design = Design.load(folder)
    simulator = simulate_design(folder, design, levels.cache / SIM_FOLDER, taps=True)
    count = min(levels.rtl_frames, len(levels.frames))
    expected = {name: codes[:count] for name, codes in reference.items()}
    frames = levels.frames[:count]
    names = levels.graph.boundaries()
    stalled = simulator.run(frames, stall_in=levels.stall, stall_out=levels.stall, seed=levels.seed)
    result = compare(names, expected, {**stalled.taps, levels.graph.output: stalled.outputs})
    free = simulator.run(frames)
    unstalled = compare(names, expected, {**free.taps, levels.graph.output: free.outputs})
    write_performance(levels.build, measure(design, free, len(frames)))
    total = Comparison(
        result.frames,
        result.boundaries,
        result.codes + unstalled.codes,
        result.mismatches + unstalled.mismatches,
        (*result.found, *unstalled.found),
    )
    return _exact(
        "rtl",
        total,
        {
            "stall": levels.stall,
            "seed": levels.seed,
            "runs": ["random stalls on input and output", "back to back without stalls"],
            "cycles_stalled": int(stalled.cycles),
            "cycles_free": int(free.cycles),
            "fifo_high_water": {name: int(fill) for name, fill in free.fifo_max.items()},
        },
    )


def _exact(name: str, total: Comparison, details: dict[str, Any] | None = None) -> Rung:
    return Rung(
        name,
        frames=total.frames,
        boundaries=total.boundaries,
        codes=total.codes,
        mismatches=total.mismatches,
        note=total.first.sentence() if total.first else "",
        details=details or {},
    )


def _float_rung(name: str, levels: Levels, reference: Reference, actual: Reference) -> Rung:
    """A level that computes in float: every differing code with its distance from a threshold."""
    from qdeploy.lowering.integers.lower import lower_with_affine
    from qdeploy.verify.float_levels import all_scales_are_powers_of_two, differences

    graph = levels.graph
    argmax = isinstance(graph.producer(graph.output), ArgMax)
    count = len(next(iter(actual.values())))
    expected = {key: codes[:count] for key, codes in reference.items()}
    total = compare(graph.boundaries(), expected, actual)
    details: dict[str, Any] = {}
    origins = 0
    if total.mismatches:
        lowered = lower_with_affine(levels.build / QONNX_FILE, argmax=argmax)
        found = differences(lowered, levels.frames[:count], actual, expected)
        details["differences"] = [_plain(difference) for difference in found[:LISTED]]
        origins = sum(not one.inherited for one in found)
    flips = 0
    if not argmax:
        flips = class_mismatches(expected[graph.output], actual[graph.output])
    return Rung(
        name,
        frames=total.frames,
        boundaries=total.boundaries,
        codes=total.codes,
        mismatches=total.mismatches,
        origins=origins,
        must_be_exact=all_scales_are_powers_of_two(graph),
        class_mismatches=flips,
        note=total.first.sentence() if total.first else "",
        details=details,
    )


def _plain(difference: Difference) -> dict[str, Any]:
    """A difference as `verify.json` holds it; the distance in steps of the output code."""
    distance = difference.distance
    return {
        "boundary": difference.boundary,
        "index": list(difference.index),
        "expected": difference.expected,
        "found": difference.found,
        "distance_lsb": None if distance is None else float(distance),
        "inherited": difference.inherited,
    }


def _as_int64(codes: Mapping[str, Any]) -> dict[str, IntArray]:
    return {name: np.asarray(values).astype(np.int64) for name, values in codes.items()}
