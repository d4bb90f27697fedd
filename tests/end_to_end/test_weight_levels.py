"""Networks whose weights are sums of powers of two: integers of a wider grid, exact down to RTL."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.source import NetworkSource
from qdeploy.build_folder import QONNX_FILE
from qdeploy.ir.integer_graph import Conv
from qdeploy.lowering.integers.lower import lower
from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.quant.weight_levels import magnitudes
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource

RUNGS = ("torch", "qonnx", "int", "dataflow", "memories", "layer", "rtl")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "bits"), [("power_of_two", 4), ("apot", 4)])
def test_every_rung_is_exact(kind: str, bits: int, tmp_path: Path) -> None:
    shape = (1, 9, 10)
    changes = (
        f"quantization.weight_levels={kind}",
        f"quantization.weight_bits={bits}",
        "network.depth=null",
        "network.blocks=[1,1]",
        "network.width=4",
    )
    recipe = load_recipe(resource("models/boo2020/resnet8_w2a2.yaml"), changes)
    network = calibrated_random(recipe, shape=shape, classes=4)
    source = NetworkSource("levels", network, pattern_frames(shape, 40, seed=1).numpy())
    options = Options(
        Path("levels"),
        frames=40,
        rtl_frames=6,
        fps=20_000.0,
        synthesis=False,
        skip=("netlist layer", "netlist"),
    )
    folder = build(options, tmp_path / "built", source=source).folder
    levels = magnitudes(kind, bits)
    convs = [node for node in lower(folder / QONNX_FILE).nodes if isinstance(node, Conv)]
    inner = [node for node in convs if "block" in node.layer]
    assert len(inner) >= 4
    for node in inner:
        assert set(np.unique(np.abs(node.weights)).tolist()) <= set(levels)
        assert len(np.unique(node.weights)) > 4
    rungs = json.loads((folder / "verify.json").read_text())["rungs"]
    found = {rung["name"]: rung for rung in rungs}
    for name in RUNGS:
        assert found[name]["codes"] > 0 and found[name]["mismatches"] == 0, found[name]
