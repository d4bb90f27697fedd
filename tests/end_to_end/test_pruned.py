"""A pruned network is a plain one with fewer channels: exact on the rungs, and smaller."""

from __future__ import annotations

from pathlib import Path

import pytest
from residual_builds import assert_exact

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build_folder import read_design, read_estimates
from qdeploy.networks.fewer_channels import layer_channels
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.training.run import load_run
from qdeploy.training.train import train

PHASES = (
    "[{name: float, kind: pretrain, epochs: 4, optimizer: {lr: 0.1}},"
    " {name: prune, kind: pretrain, epochs: 4, optimizer: {lr: 0.1}, pruning: %s},"
    " {name: retrain, kind: retrain, epochs: 4, optimizer: {lr: 0.01}}]"
)
NETWORKS = {
    "convnet": "{type: convnet, stages: [{channels: 8}, {channels: 8, pool: 2}], hidden: [16]}",
    "resnet": "{type: resnet, blocks: [1, 1], width: 8}",
    "depthwise": "{type: mobilenetv2, stem_channels: 8, last_channels: 16, stages:"
    " [{expansion: 1, channels: 8, blocks: 1}, {expansion: 2, channels: 8, blocks: 2, stride: 2}]}",
}
RUNGS = ("torch", "qonnx", "int", "dataflow", "memories", "layer", "rtl")


PRUNING = "{target: 0.5, multiple_of: 2}"


def trained(folder: Path, network: str, pruning: str) -> Path:
    changes = (f"network={NETWORKS[network]}", f"phases={PHASES % pruning}", "training.epochs=null")
    recipe = load_recipe(resource("models/quickstart/digits_fcdnn_w2a2.yaml"), changes)
    return train(recipe, folder)


def built(run: Path, folder: Path, *, exact: bool) -> Path:
    skipped = ("netlist layer", "netlist", *(() if exact else ("memories", "layer", "rtl")))
    options = Options(run, frames=32, rtl_frames=4, fps=20_000.0, synthesis=False, skip=skipped)
    return build(options, folder).folder


def estimated_luts(folder: Path) -> float:
    """Of all layers, by qdeploy's cost model."""
    estimates = read_estimates(folder)
    assert estimates is not None
    layers = [one["qdeploy"] for one in estimates["layers"].values()]
    assert layers and None not in layers
    return sum(float(one["lut"]) for one in layers if one is not None)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_a_pruned_network_is_exact_down_to_rtl(network: str, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", network, PRUNING)
    assert_exact(built(run, tmp_path / "built", exact=True), RUNGS)


@pytest.mark.slow
def test_streams_and_logic_shrink_at_the_same_rate(tmp_path: Path) -> None:
    """The same recipe without pruning is the peer."""
    found = []
    for name, pruning in (("whole", "null"), ("pruned", PRUNING)):
        run = trained(tmp_path / name, "convnet", pruning)
        folder = built(run, tmp_path / f"{name}-built", exact=False)
        design = read_design(folder)
        channels = layer_channels(load_run(run).network)
        found.append((estimated_luts(folder), sum(tap.elements for tap in design.taps), channels))
    (luts, elements, channels), (fewer_luts, fewer_elements, left) = found
    assert sum(left[name][1] for name in left) < 0.7 * sum(channels[name][1] for name in channels)
    assert fewer_elements < 0.8 * elements
    assert fewer_luts < 0.9 * luts
