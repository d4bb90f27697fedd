"""A network trained with every method of a phase is a plain quantized one: exact on the rungs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import train_tiny

from qdeploy.build.build import build
from qdeploy.build.options import Options

RUNGS = ("torch", "qonnx", "int", "dataflow", "memories", "layer", "rtl")
METHODS = (
    "quantization.weight_gradient_scaling=0.2",
    "phases.retrain.quantization={weight_bits: 4, activation_bits: 4}",
    "phases.retrain.distillation={features: 0.1}",
    "phases.retrain.oscillation={damping: 0.01, freeze: 0.02, freeze_start: 0.1}",
    "phases.retrain.refit_epochs=1",
    "phases.finetune.schedule={type: transition}",
    "phases.finetune.distillation={share: 0.7}",
    "phases.finetune.average_epochs=2",
    "training.epochs=4",
)


@pytest.mark.slow
def test_a_network_trained_with_every_method_is_exact_on_every_rung(tmp_path: Path) -> None:
    run = train_tiny(tmp_path / "run", "network.width=8", *METHODS)
    options = Options(
        run,
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
