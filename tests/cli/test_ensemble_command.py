"""`qdeploy ensemble` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import train_tiny

from qdeploy.cli.main import qdeploy, run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    widths = ("network.width=16", "network.width=12")
    return [
        train_tiny(folder / f"run{number}", "training.epochs=1", width)
        for number, width in enumerate(widths)
    ]


def call(*words: object) -> int:
    return run(qdeploy, [str(word) for word in words])


def test_it_ends_with_a_table_and_the_next_command(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pair"
    assert call("ensemble", *runs, "-o", out) == 0
    shown, told = capsys.readouterr()
    for word in ("member 1", "run0", "member 2", "run1", "vote", "test acc.", "valid. acc."):
        assert word in shown
    assert f"next: qdeploy export {out} --target pynq" in shown.replace("\n", " ")
    assert "mixed training images" in told
    assert call("inspect", out) == 0
    assert "vote" in capsys.readouterr().out


def test_json_prints_the_summary_alone_on_standard_output(
    runs: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("ensemble", *runs, "--json", "--bits", 5, "--name", "two") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["name"] == "two" and summary["vote"]["bits"] == 5
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("_x2")
    assert summary == json.loads((folder / "summary.json").read_text())


def test_mistakes_end_with_code_2(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("ensemble", runs[0], "-o", tmp_path / "one") == 2
    assert "an ensemble of 1 run" in capsys.readouterr().err
    assert call("ensemble", runs[0], tmp_path / "nothing", "-o", tmp_path / "two") == 2
    assert "is not a run folder" in capsys.readouterr().err
    assert not (tmp_path / "one").exists() and not (tmp_path / "two").exists()


def test_an_analysis_of_an_ensemble_is_of_its_members(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("ensemble", *runs, "-o", tmp_path / "pair") == 0
    assert call("analyze", tmp_path / "pair") == 2
    assert f"{tmp_path / 'pair' / 'members' / '1'}" in capsys.readouterr().err
