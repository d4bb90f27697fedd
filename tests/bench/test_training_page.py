"""The page of trained networks says what the runs say."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from tiny_runs import train_tiny

import qdeploy
from qdeploy.build.options import Options

BENCH = Path(qdeploy.__file__).resolve().parent.parent / "bench"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("runs") / "tiny", "training.threads=1")


def test_the_page_has_every_phase_its_methods_and_the_proof(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    import trainings as bench

    build = tmp_path / "build"
    build.mkdir()
    rung = {"name": "rtl", "frames": 20, "boundaries": 4, "codes": 8_080, "mismatches": 0}
    for name, data in {
        "verify": {"rungs": [rung, {**rung, "name": "netlist", "skipped": "not asked for"}]},
        "build": {
            "accuracy_int": 0.875,
            "miou_int": 0.25,
            "options": Options(
                tmp_path / "run", board="pynq-z2", fps=300_000.0, skip=("netlist",)
            ).record(),
            "git": "0123456789ab-dirty",
        },
        "performance": {"cycles_per_frame": 250, "clock_mhz": 100.0},
        "resources": {"lut": 37_724, "ff": 27_681, "bram36": 65.0, "dsp": 13, "fits": True},
    }.items():
        (build / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
    text = bench.page([bench.read_run(run, build)])
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    for phase in summary["phases"]:
        assert f"| {phase['name']} | {phase['kind']} |" in text
        assert f"{phase['accuracy']:.2%}" in text
    assert "| finetune | finetune | L_Lip 0.0001, cyclical rates | 2 |" in text
    assert "models/quickstart/digits_fcdnn_w2a2.yaml --set training.epochs=2" in text
    assert f"at commit {(summary['provenance']['git'] or 'unknown')[:7]}" in text
    assert f"1 thread; {summary['provenance']['machine']['processor']}; torch" in text
    assert "collected on" not in text
    assert (
        "`qdeploy export RUN --target pynq --board pynq-z2 --fps 300000 --skip netlist`, at commit "
        "0123456-dirty, folded for 300,000 frames/s: 250 cycles" in text
    )
    assert str(tmp_path) not in text
    assert (
        "400,000 frames/s at 100 MHz; " in text
        and "The integer network's accuracy is 87.50%, its mIoU 25.00%." in text
    )
    assert "| rtl | 20 | 4 | 8,080 | 0 |" in text
    assert "| netlist |" not in text
    assert "The rung netlist did not run: not asked for." in text
    assert "MHz; 37,724 LUT, 27,681 flip-flops, 65 BRAM36, 13 DSP. The integer" in text


def test_the_machine_that_collects_does_not_pass_for_the_one_that_trained(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    import trainings as bench

    named = tmp_path / "named"
    shutil.copytree(run, named)
    summary = json.loads((named / "summary.json").read_text(encoding="utf-8"))
    del summary["provenance"]["machine"]  # as runs of earlier versions are
    (named / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    text = bench.page([bench.read_run(named, None)])
    assert ", 1 process, 1 thread; the run does not name its machine, collected on " in text


def test_seeds_of_one_recipe_are_one_table_with_spread_and_paired_differences(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    import trainings as bench
    from trainings_page import section

    one = bench.read_run(run, None)
    other = json.loads(json.dumps(one)) | {"seed": 1}
    for phase, (a, b) in zip(one["phases"], [(0.9, 0.8), (0.88, 0.8), (0.89, 0.83)], strict=False):
        phase["accuracy"] = a
        other["phases"][one["phases"].index(phase)]["accuracy"] = b
    text = bench.page([other, one])
    assert text.count(f"## {one['name']}") == 1 and "seeds 0 and 1, at commit" in text
    assert "at commits abc1234, " in bench.page([one | {"commit": "abc1234"}, other])
    lines = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    first, second, third = (f"| {phase['name']}" for phase in one["phases"][:3])
    assert "| 85.00 ± 7.07 % | - |" in lines[first]  # of 90 and 80
    assert "| 84.00 ± 5.66 % | -1.00 ± 1.00 |" in lines[second]  # -2 and 0
    assert "| +1.00 ± 2.00 |" in lines[third]  # -1 and +3
    assert "seed 0 alone, from which no claim follows" in bench.page([one])
    other["phases"][0]["epochs"] += 1
    with pytest.raises(ValueError, match="differ in their phases"):
        section([one, other])


def test_an_export_command_has_the_flags_that_differ_from_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    from trainings_commands import export_command, recorded_options

    plain = Options(tmp_path / "run", data=tmp_path, cache=tmp_path)
    assert export_command(recorded_options(plain.record())) == "qdeploy export RUN --target pynq"
    plain = dataclasses.replace(plain, board="pynq-z2")
    assert export_command(recorded_options(plain.record())) == (
        "qdeploy export RUN --target pynq --board pynq-z2"
    )
    chosen = Options(
        tmp_path / "run",
        board="pynq-z2",
        argmax=True,
        clock_mhz=62.5,
        folding=tmp_path / "f",
        synthesis=False,
    )
    assert export_command(recorded_options(json.loads(json.dumps(chosen.record())))) == (
        "qdeploy export RUN --target pynq --board pynq-z2 --folding FILE --clock 62.5 --argmax "
        "--no-synthesis"
    )


def test_committed_page_is_what_the_committed_results_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    import trainings as bench

    kept = [json.loads(path.read_text("utf-8")) for path in sorted(bench.KEPT.glob("*.json"))]
    assert (BENCH.parent / "docs/results.md").read_text(encoding="utf-8") == bench.page(kept)


def test_seeds_and_settings_of_training_make_no_other_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    import trainings as bench

    name = "net+quantization.weight_bits=3+seed=2+training.threads=1"
    assert bench._without_seed(name) == "net+quantization.weight_bits=3"
    assert bench._without_seed("net") == "net"
