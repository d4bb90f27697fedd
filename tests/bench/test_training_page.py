"""The page of trained networks says what the runs say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import train_tiny

import qdeploy

BENCH = Path(qdeploy.__file__).resolve().parent.parent / "bench"


def test_the_page_has_every_phase_its_methods_and_the_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    import trainings as bench

    run = train_tiny(tmp_path / "tiny", "training.threads=1")
    build = tmp_path / "build"
    build.mkdir()
    rung = {"name": "rtl", "frames": 20, "boundaries": 4, "codes": 8_080, "mismatches": 0}
    for name, data in {
        "verify": {"rungs": [rung, {"name": "netlist", "skipped": "not asked for"}]},
        "build": {"accuracy_int": 0.875, "miou_int": 0.25},
        "performance": {"cycles_per_frame": 250, "clock_mhz": 100.0},
    }.items():
        (build / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
    text = bench.page([bench.read_run(run, build)])
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    for phase in summary["phases"]:
        assert f"| {phase['name']} | {phase['kind']} |" in text
        assert f"{phase['accuracy']:.2%}" in text
    assert "| finetune | finetune | L_Lip 0.0001, cyclical rates | 2 |" in text
    assert "models/quickstart/digits_fcdnn_w2a2.yaml --set training.epochs=2" in text
    assert (
        "400,000 frames/s at 100 MHz. The integer network's accuracy is 87.50%, its mIoU 25.00%."
        in text
    )
    assert "| rtl | 20 | 4 | 8,080 | 0 |" in text
    assert "netlist" not in text
