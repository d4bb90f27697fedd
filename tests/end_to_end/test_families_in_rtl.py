"""Whole families of networks in small: calibrated, exported, lowered, compiled, simulated.

Every code at every boundary of the RTL equals the integer graph's, with stalls on both sides.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_networks import tiny_bottleneck, tiny_deeplab
from torch import nn

from qdeploy.dataflow.compile import compile_graph
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.from_torch.export import deployed_network, export_qonnx_file
from qdeploy.lowering.integers.lower import lower
from qdeploy.networks.calibrated import pattern_frames
from qdeploy.sim.design import simulate_design
from qdeploy.verify.rungs.torch import torch_level

FRAMES = 3


def exported(network: nn.Module, path: Path, argmax: bool) -> tuple[IntegerGraph, np.ndarray]:
    """The integer graph of a network, and frames for it; torch agrees on them."""
    shape: tuple[int, int, int] = network.input_shape  # type: ignore[assignment]
    export_qonnx_file(network, shape, path)
    graph = lower(path, argmax=argmax)
    codes = pattern_frames(shape, FRAMES, seed=1).numpy().astype(np.int64)
    expected = run_reference(graph, codes)
    actual = torch_level(deployed_network(network, path), graph, codes).codes
    for name in graph.boundaries():
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)
    return graph, codes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "fps", "argmax"),
    [
        pytest.param(lambda: tiny_bottleneck("bottleneck"), 2_000.0, True, id="bottleneck"),
        pytest.param(lambda: tiny_bottleneck("preact-bottleneck"), 2_000.0, False, id="preact"),
        pytest.param(tiny_deeplab, 5_000.0, True, id="class per pixel"),
    ],
)
def test_a_family_in_small_is_exact_down_to_rtl(
    network, fps: float, argmax: bool, tmp_path: Path
) -> None:
    graph, codes = exported(network(), tmp_path / "network.qonnx.onnx", argmax)
    expected = run_reference(graph, codes)
    compiled = compile_graph(graph, load_board("pynq-z2"), tmp_path / "rtl", fps=fps)
    simulator = simulate_design(tmp_path / "rtl", compiled.design, tmp_path / "sim", optimize="-O0")
    result = simulator.run(codes, stall_in=0.2, stall_out=0.3, seed=5)
    np.testing.assert_array_equal(result.outputs, expected[graph.output])
    assert set(result.taps) == set(graph.boundaries())
    for name in graph.boundaries():
        np.testing.assert_array_equal(result.taps[name], expected[name], err_msg=name)
    outputs = expected[graph.output].reshape(FRAMES, -1)
    assert len(np.unique(outputs, axis=0)) > 1, "every frame gives the same"
