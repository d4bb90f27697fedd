"""FIFOs sized in a build: the stitched design with the depths found, exact and as fast."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from random_graphs import GraphMaker

from qdeploy.build.steps.size_fifos import confirm, size_fifos
from qdeploy.build_folder import FIFOS_FILE, SIM_FOLDER
from qdeploy.dataflow.compile import compile_graph
from qdeploy.devices.boards import load_board
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.from_torch.export import export_qonnx_file
from qdeploy.lowering.integers.lower import lower
from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.sim.design import simulate_design
from qdeploy.sim.fifo_sizing import interval


@pytest.mark.slow
def test_a_design_stitched_too_shallow_is_deepened(tmp_path: Path) -> None:
    maker = GraphMaker(4, (1, 5, 6)).conv(2).threshold(bits=3)
    start = maker.mark()
    shortcut = maker.threshold(bits=4, base=-8).mark()
    maker.back_to(start).conv(2).threshold(bits=4, base=-8)
    graph = maker.add(shortcut).threshold().graph()
    codes = maker.frames(4)
    compiled = compile_graph(graph, load_board("pynq-z2"), tmp_path / "rtl", fps=1e6)
    sized = size_fifos(compiled, tmp_path / "rtl", codes, tmp_path, stall=0.2, seed=1)
    least = {site.stream: site.least for site in compiled.fifo_sites()}
    ahead = max(compiled.fifo_sites(), key=lambda site: site.analytic).stream
    assert sized.sizing.depths[ahead] > least[ahead]
    shallow = dataclasses.replace(sized.sizing, depths=least)
    repaired = confirm(compiled, tmp_path / "rtl", codes, tmp_path, shallow, stall=0.2, seed=1)
    assert interval(repaired.free) <= sized.sizing.interval
    assert repaired.sizing.depths[ahead] > least[ahead]
    for run in (sized.free, sized.stalled, repaired.free, repaired.stalled):
        count = len(run.outputs)
        expected = run_reference(graph, np.resize(codes, (count, *codes.shape[1:])))
        np.testing.assert_array_equal(run.outputs, expected[graph.output])
        for name in graph.boundaries():
            np.testing.assert_array_equal(run.taps[name], expected[name])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["quickstart/digits_fcdnn_w2a2", "mlperf_tiny/resnet8_w2a2"])
def test_a_network_keeps_its_interval_with_sized_fifos(recipe: str, tmp_path: Path) -> None:
    loaded = load_recipe(resource(f"models/{recipe}.yaml"), [])
    network = calibrated_random(loaded)
    export_qonnx_file(network, network.input_shape, tmp_path / "network.onnx")
    graph = lower(tmp_path / "network.onnx")
    pixels = pattern_frames(network.input_shape, 4, seed=1).numpy()
    codes = (pixels >> (8 - loaded.quantization.input_bits)).astype(np.int64)
    compiled = compile_graph(graph, load_board("pynq-z2"), tmp_path / "rtl")
    analytic = simulate_design(tmp_path / "rtl", compiled.design, tmp_path / SIM_FOLDER)
    before = analytic.run(np.resize(codes, (8, *codes.shape[1:])))
    sized = size_fifos(compiled, tmp_path / "rtl", codes, tmp_path, stall=0.2, seed=1)
    sized.save(tmp_path)
    found = json.loads((tmp_path / FIFOS_FILE).read_text())
    cycles = found["cycles_per_frame"]
    assert cycles["sized"] <= cycles["deep"] <= interval(before)
    assert sized.design.cycles_per_frame == pytest.approx(cycles["sized"], rel=0.02)
    assert cycles["sized_stalled"] <= 1.02 * cycles["deep_stalled"]
    assert found["words"] < found["words_analytic"]
    for run in (sized.free, sized.stalled):
        wanted = run_reference(graph, np.resize(codes, (len(run.outputs), *codes.shape[1:])))
        for name in graph.boundaries():
            np.testing.assert_array_equal(run.taps[name], wanted[name])
