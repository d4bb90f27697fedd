"""`qdeploy analyze`: tables, JSON, pictures, refusals."""

import json
import shutil

import pytest
from tiny_runs import train_tiny

from qdeploy.cli.main import qdeploy, run
from qdeploy.training.analysis.report import labels_apart

PNG = b"\x89PNG\r\n\x1a\n"
QUICK = ("--directions", "1", "--frames", "32", "--loss-frames", "64")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("runs") / "tiny")


def test_a_run_gets_tables_figures_and_pictures(folder, capsys):
    assert run(qdeploy, ["analyze", str(folder), *QUICK]) == 0
    text = capsys.readouterr().out
    assert "hidden1.act" in text
    assert "compression ratio" in text
    report = json.loads((folder / "analysis.json").read_text())["runs"][0]
    assert [row["name"] for row in report["layers"]] == ["hidden1.fc", "hidden2.fc", "head"]
    assert [row["name"] for row in report["activations"]] == ["hidden1.act", "hidden2.act"]
    assert [phase["name"] for phase in report["phases"]] == ["float", "retrain", "finetune"]
    for name in ("sqnr", "noise_gain", "spectral_norm", "flatness"):
        assert (folder / f"{name}.png").read_bytes().startswith(PNG)


def test_json_and_pictures_go_where_they_are_told(folder, tmp_path, capsys):
    other = train_tiny(tmp_path / "other", "network.width=8", "quantization.activation_bits=float")
    out = tmp_path / "out"
    words = ["analyze", str(folder), str(other), "--out", str(out), "--json", *QUICK]
    assert run(qdeploy, words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((out / "analysis.json").read_text())
    both = result["runs"]
    assert [row["activations"] == [] for row in both] == [False, True]
    assert both[1]["totals"]["output_noise_db"] is None
    assert len(list(out.glob("*.png"))) == 4


def test_the_same_seed_gives_the_same_figures(folder, tmp_path):
    for name in ("one", "two"):
        assert run(qdeploy, ["analyze", str(folder), "--out", str(tmp_path / name), *QUICK]) == 0
    assert (tmp_path / "one/analysis.json").read_text() == (
        tmp_path / "two/analysis.json"
    ).read_text()


def test_several_runs_without_a_folder_and_no_run_are_refused(folder, tmp_path, capsys):
    assert run(qdeploy, ["analyze", str(folder), str(folder)]) == 2
    assert "give --out FOLDER" in capsys.readouterr().err
    assert run(qdeploy, ["analyze", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err


def test_piped_tables_cut_no_name_and_runs_of_one_recipe_are_told_apart(folder, tmp_path, capsys):
    copy = tmp_path / ("a_folder_with_a_long_name_" * 3)
    shutil.copytree(folder, copy)
    words = ["analyze", str(folder), str(copy), "--out", str(tmp_path / "out"), *QUICK]
    assert run(qdeploy, words) == 0
    shown = capsys.readouterr().out
    assert "…" not in shown and "│" not in shown
    name = json.loads((folder / "summary.json").read_text())["name"]
    table = shown.split("all runs")[1].splitlines()
    labels = [line.split("  ")[1] for line in table[2:4]]
    assert labels == [f"{name} ({folder})", f"{name} ({copy})"]
    assert f"{name} ({copy}): layers" in shown


def test_runs_of_several_names_keep_them():
    names = ("a+network.width=8", "a+network.width=16")
    assert labels_apart([{"name": name, "run": "r"} for name in names]) == [*names]
