"""`qdeploy bits`: a recipe that trains, tables, JSON, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_runs import train_tiny

from qdeploy.cli.main import qdeploy, run
from qdeploy.recipe.layer_widths import Operand
from qdeploy.recipe.loading import load_recipe
from qdeploy.training.candidate_widths import own_widths
from qdeploy.training.run import load_run
from qdeploy.training.train import train

QUICK = ("--images", "64", "--fps", "200000", "--max-dsp", "0", "--candidates", "2,4")
FEW = ("--layers", "hidden2.*", "--layers", "head")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("runs") / "tiny")


def test_the_recipe_that_is_written_trains_from_the_same_float_network(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    words = ["bits", str(folder), *QUICK, *FEW, "--max-lut", "10%", "--out", str(path), "--json"]
    assert run(qdeploy, words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["limit"]["lut"] == 5320
    assert found["cycles_per_frame"] == 500
    assert [(row["layer"], row["key"]) for row in found["layers"]] == [
        ("hidden2.fc", "weight_bits"),
        ("hidden2.act", "activation_bits"),
        ("head", "weight_bits"),
    ]
    assert found["mixed"]["sensitivity"] <= found["uniform"]["2"]["sensitivity"]
    recipe, before = load_recipe(path), load_recipe(folder / "recipe.yaml")
    assert recipe.name == "mine"
    for row in found["layers"]:
        assert getattr(recipe.quantization.layers[row["layer"]], row["key"]) == row["bits"]
    assert (
        recipe.model_copy(update={"name": before.name, "quantization": before.quantization})
        == before
    )
    trained = train(recipe, tmp_path / "trained", warm_start=folder)
    widths = own_widths(load_run(trained).network)
    assert [widths[Operand(row["layer"], row["key"])] for row in found["layers"]] == [
        row["bits"] for row in found["layers"]
    ]
    origin = json.loads((trained / "started_from.json").read_text())
    assert origin["phase"] == "float"


def test_tables_show_every_layer_and_design(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mixed.yaml"
    words = ["bits", str(folder), *QUICK, *FEW, "--by", "hessian", "--probes", "1"]
    assert run(qdeploy, [*words, "--out", str(path)]) == 0
    text = capsys.readouterr().out
    for part in ("hidden2.fc", "hidden2.act", "head", "4 everywhere", "the recipe's", "limit"):
        assert part in text
    assert f"next: qdeploy train {path} --start-from {folder}" in text
    assert run(qdeploy, [*words, "--out", str(path)]) == 2  # nothing is overwritten
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max-lut", "200"), "LUTs suffice here)"),
        (("--layers", "hiden2.fc"), "did you mean `hidden2.fc`?"),
        (("--max-lut", "90%"), "42,560 are usable by estimate"),
        (("--max-lut", "much"), "neither a number, such as 8000, nor a share, such as 20%"),
        (("--candidates", "2,9"), "no list of widths of 1 to 8 bits"),
        (("--board", "pynq-z3"), "did you mean"),
        (("--fps", "0"), "0 frames per second cannot be reached"),
        (("--fps", "90000000"), "more than the board can send to the accelerator"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    out = tmp_path / "mixed.yaml"
    few = () if "--layers" in words else FEW
    assert run(qdeploy, ["bits", str(folder), *QUICK, *few, *words, "--out", str(out)]) == 2
    text = capsys.readouterr().err
    assert said in text
    assert "Traceback" not in text
    assert not out.exists()


def test_a_run_without_its_float_network_and_a_quantized_file_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unfinished = tmp_path / "unfinished"
    shutil.copytree(folder, unfinished)
    shutil.rmtree(unfinished / "checkpoints")
    assert run(qdeploy, ["bits", str(unfinished)]) == 2
    text = capsys.readouterr().err
    assert "has no finished float training" in text
    assert "--resume" in text
    assert run(qdeploy, ["bits", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err
    file = tmp_path / "network.onnx"
    file.write_bytes(b"")
    assert run(qdeploy, ["bits", str(file)]) == 2
    assert "is quantized already" in capsys.readouterr().err
