"""A network whose layers all have widths of their own is exact on the rungs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import TINY, train_tiny

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.cli.main import qdeploy, run
from qdeploy.recipe.loading import load_recipe
from qdeploy.training.train import train

RUNGS = ("torch", "qonnx", "int", "dataflow", "memories", "layer", "rtl")


@pytest.mark.slow
def test_a_recipe_of_mixed_widths_trains_and_is_exact_down_to_rtl(tmp_path: Path) -> None:
    start = train_tiny(tmp_path / "start", "network.width=8", *TINY[1:])
    recipe = tmp_path / "mixed.yaml"
    words = ["--fps", "20000", "--max-lut", "700", "--max-dsp", "0", "--candidates", "2,3,5"]
    assert run(qdeploy, ["bits", str(start), *words, "--out", str(recipe)]) == 0
    chosen = load_recipe(recipe)
    widths = [layer.model_dump(exclude_none=True) for layer in chosen.quantization.layers.values()]
    assert len({bits for one in widths for bits in one.values()}) > 1  # it is a mixture
    trained = train(chosen, tmp_path / "trained", warm_start=start)
    options = Options(
        trained,
        frames=64,
        rtl_frames=6,
        fps=20_000.0,
        synthesis=False,
        skip=("netlist layer", "netlist"),
    )
    folder = build(options, tmp_path / "built").folder
    found = {one["name"]: one for one in json.loads((folder / "verify.json").read_text())["rungs"]}
    for name in RUNGS:
        assert found[name]["codes"] > 0, name
        assert found[name]["mismatches"] == 0, found[name]
