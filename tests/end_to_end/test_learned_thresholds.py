"""Networks with learned thresholds: no code differs on any rung, from torch to the netlist."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import residual_builds
import torch
from residual_builds import assert_exact, build_residual
from tiny_runs import train_tiny
from torch import nn

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build_folder import QONNX_FILE
from qdeploy.quant.thresholds import learned_segments
from qdeploy.targets.target import HARDWARE_RUNGS
from qdeploy.training.run import load_run

LEARNED = "quantization.activation_thresholds=learned"
ENTROPY = "quantization.weight_normalization=entropy"


def tables(folder: Path) -> list[np.ndarray]:
    """The thresholds of the MultiThreshold nodes of a build's file."""
    model = onnx.load(folder / QONNX_FILE)
    known = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    return [known[n.input[1]] for n in model.graph.node if n.op_type == "MultiThreshold"]


@pytest.mark.slow
def test_a_trained_network_is_exact_on_every_rung(tmp_path: Path) -> None:
    run = train_tiny(tmp_path / "run", LEARNED, "network.width=8", "training.epochs=6")
    options = Options(run, frames=64, rtl_frames=8, fps=20_000.0, require=HARDWARE_RUNGS)
    folder = build(options, tmp_path / "built").folder
    segments = learned_segments(load_run(run).network)
    assert len(segments) == 2
    for table, own in zip(tables(folder), segments, strict=True):
        assert np.array_equal(table[0], own.thresholds().detach().numpy())
        assert np.ptp(np.diff(table[0])) > 1e-4, "nothing was learned"
    assert_exact(folder, HARDWARE_RUNGS)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 4])
def test_residual_blocks_of_uneven_thresholds_are_exact_in_rtl(bits: int, tmp_path: Path) -> None:
    folder = build_residual(
        tmp_path / "built",
        2,
        LEARNED,
        f"quantization.activation_bits={bits}",
        change=make_uneven,
    )
    assert_exact(folder, residual_builds.RUNGS)


def make_uneven(network: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    segments = learned_segments(network)
    assert len(segments) > 3
    with torch.no_grad():
        for one in segments:
            one.lengths.mul_(0.5 + torch.rand(one.lengths.shape, generator=generator))
            one.start.add_(0.2 * (torch.rand((), generator=generator) - 0.5))
