"""Small residual networks of unusual quantizers, built down to RTL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from torch import nn

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.source import NetworkSource
from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource

RUNGS = ("torch", "qonnx", "int", "dataflow", "memories", "layer", "rtl")


def build_residual(
    out: Path, width: int, *changes: str, change: Callable[[nn.Module], None] | None = None
) -> Path:
    """The build folder of two residual blocks of so many channels.

    Args:
        out: where it is made.
        changes: of the recipe.
        change: of the network, in place.
    """
    shape = (1, 9, 10)
    blocks = ("network.depth=null", "network.blocks=[1,1]", f"network.width={width}")
    recipe = load_recipe(resource("models/boo2020/resnet8_w2a2.yaml"), [*changes, *blocks])
    network = calibrated_random(recipe, shape=shape, classes=4)
    if change is not None:
        change(network)
    source = NetworkSource("residual", network, pattern_frames(shape, 40, seed=1).numpy())
    options = Options(
        Path("residual"),
        frames=40,
        rtl_frames=6,
        fps=20_000.0,
        synthesis=False,
        skip=("netlist layer", "netlist"),
    )
    return build(options, out, source=source).folder


def assert_exact(folder: Path, rungs: tuple[str, ...]) -> None:
    """Each of these rungs compared codes, and none differed."""
    found = {r["name"]: r for r in json.loads((folder / "verify.json").read_text())["rungs"]}
    for name in rungs:
        assert found[name]["codes"] > 0 and found[name]["mismatches"] == 0, found[name]
