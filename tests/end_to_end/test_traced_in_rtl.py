"""Float networks as people write them, by `qdeploy.quantize` down to the simulated RTL."""

from __future__ import annotations

from pathlib import Path

import pytest
from float_networks import float_network

import qdeploy


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["decoder", "dense", "mobilenet", "preact", "series", "timm"])
def test_every_level_of_a_traced_network_is_exact(kind: str, tmp_path: Path) -> None:
    module, frames = float_network(kind)
    network = qdeploy.quantize(module, 3, frames)
    build = qdeploy.export(
        network,
        x=frames,
        out=tmp_path / kind,
        synthesis=False,
        fifo_depths="analytic",
        skip=("memories", "layer"),
        rtl_frames=3,
    )
    ran = {rung.name: rung.mismatches for rung in build.rungs if rung.skipped is None}
    assert ran.keys() >= {"torch", "qonnx", "int", "dataflow", "rtl"}
    assert ran["int"] == ran["dataflow"] == ran["rtl"] == 0
