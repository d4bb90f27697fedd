"""Networks with learned thresholds: no code differs on any rung, from torch to the netlist."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_runs import train_tiny

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.source import NetworkSource
from qdeploy.build_folder import QONNX_FILE
from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.quant.thresholds import learned_segments
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.training.run import load_run
from qdeploy.verify.ladder import RUNGS

LEARNED = "quantization.activation_thresholds=learned"
ENTROPY = "quantization.weight_normalization=entropy"


def tables(folder: Path) -> list[np.ndarray]:
    """The thresholds of the MultiThreshold nodes of a build's file."""
    model = onnx.load(folder / QONNX_FILE)
    known = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    return [known[n.input[1]] for n in model.graph.node if n.op_type == "MultiThreshold"]


def results(folder: Path) -> dict[str, dict[str, int]]:
    rungs = json.loads((folder / "verify.json").read_text())["rungs"]
    return {rung["name"]: rung for rung in rungs}


@pytest.mark.slow
def test_a_trained_network_is_exact_on_every_rung(tmp_path: Path) -> None:
    run = train_tiny(tmp_path / "run", LEARNED, "network.width=8", "training.epochs=6")
    options = Options(run, frames=64, rtl_frames=8, fps=20_000.0, require=tuple(RUNGS))
    folder = build(options, tmp_path / "built").folder
    segments = learned_segments(load_run(run).network)
    assert len(segments) == 2
    for table, own in zip(tables(folder), segments, strict=True):
        assert np.array_equal(table[0], own.thresholds().detach().numpy())
        assert np.ptp(np.diff(table[0])) > 1e-4, "nothing was learned"
    found = results(folder)
    for name in RUNGS:
        assert found[name]["codes"] > 0, name
        assert found[name]["mismatches"] == 0, found[name]


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 4])
def test_residual_blocks_of_uneven_thresholds_are_exact_in_rtl(bits: int, tmp_path: Path) -> None:
    shape = (1, 9, 10)
    changes = (
        LEARNED,
        f"quantization.activation_bits={bits}",
        "network.depth=null",
        "network.blocks=[1,1]",
        "network.width=2",
    )
    recipe = load_recipe(resource("models/boo2020/resnet8_w2a2.yaml"), changes)
    network = calibrated_random(recipe, shape=shape, classes=4)
    generator = torch.Generator().manual_seed(0)
    segments = learned_segments(network)
    assert len(segments) > 3
    with torch.no_grad():
        for one in segments:
            one.lengths.mul_(0.5 + torch.rand(one.lengths.shape, generator=generator))
            one.start.add_(0.2 * (torch.rand((), generator=generator) - 0.5))
    source = NetworkSource("residual", network, pattern_frames(shape, 40, seed=1).numpy())
    options = Options(
        Path("residual"),
        frames=40,
        rtl_frames=6,
        fps=20_000.0,
        synthesis=False,
        skip=("netlist layer", "netlist"),
    )
    folder = build(options, tmp_path / "built", source=source).folder
    found = results(folder)
    for name in ("torch", "qonnx", "int", "dataflow", "memories", "layer", "rtl"):
        assert found[name]["codes"] > 0 and found[name]["mismatches"] == 0, found[name]
