"""`qdeploy estimate`: what it says of recipes, runs and files, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from random_qonnx import QonnxMaker, Weights

from qdeploy.cli.estimate import estimate as command
from qdeploy.dataflow.compile import compile_graph
from qdeploy.devices.boards import load_board
from qdeploy.errors import FoldingError, UserError
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.integers.lower import lower_model
from qdeploy.search.estimate import estimate
from qdeploy.search.room import Room

RECIPE = """\
name: small
network: {type: convnet, stages: [{channels: 4, kernel: 3, pool: 2}], hidden: [8]}
phases:
  - {name: float, kind: pretrain, epochs: 1, optimizer: {lr: 0.1}}
  - {name: retrain, kind: retrain, epochs: 1, optimizer: {lr: 0.01}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def told(*words: object, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(command, [*map(str, words), "--json"], catch_exceptions=False)
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_recipe_is_estimated_without_training(recipe: Path) -> None:
    found = told(recipe)
    assert found["fits"]
    assert found["board"] == "pynq-z2"
    assert found["fps"] == pytest.approx(1e8 / found["cycles_per_frame"])
    for kind in ("lut", "ff", "bram36", "dsp"):
        assert sum(layer[kind] for layer in found["layers"]) <= found[kind]
        assert found[kind] <= found["limit"][kind] <= found["available"][kind]
    wider = told(recipe, "--set", "network.multiplier=4")
    assert wider["cycles_per_frame"] >= found["cycles_per_frame"]
    text = CliRunner().invoke(command, [str(recipe)], catch_exceptions=False).output
    assert f"fits: {found['fps']:,.0f} frames/s at 100 MHz" in text


def test_less_of_the_board_gives_a_slower_design_that_keeps_to_it(recipe: Path) -> None:
    all_of_it, part = told(recipe), told(recipe, "--max-lut", "4%", "--max-dsp", "0")
    assert part["lut"] <= 0.04 * all_of_it["available"]["lut"] < all_of_it["lut"]
    assert part["dsp"] == 0
    assert part["fps"] < all_of_it["fps"]


def test_a_rate_is_kept_with_the_smallest_design(recipe: Path) -> None:
    found = told(recipe, "--fps", 20_000)
    assert found["fps"] >= 20_000
    assert found["lut"] < told(recipe)["lut"]


def test_an_estimate_is_the_folding_that_a_build_has(tmp_path: Path) -> None:
    maker = QonnxMaker(5, (2, 6, 6))
    maker.conv(4, weights=Weights(2)).norm().relu().act(2)
    maker.pool_all().act(4).dense(3, Weights(3))
    graph = lower_model(canonical(maker.save(tmp_path / "net.onnx"))).graph
    board = load_board("pynq-z1")
    for fps in (None, 50_000.0):
        built = compile_graph(graph, board, tmp_path / "rtl", fps=fps)
        found = estimate(graph, Room(board, fps=fps))
        assert found.usage == built.folding.solution.usage
        assert found.cycles == built.folding.solution.cycles
    of_file = told(tmp_path / "net.onnx", "--board", "pynq-z1")
    assert of_file["cycles_per_frame"] == max(
        estimate(graph, Room(board)).cycles, of_file["cycles_per_frame"]
    )


def test_what_no_folding_reaches_is_refused(recipe: Path) -> None:
    with pytest.raises(FoldingError, match=r"cannot finish a frame within|can send"):
        told(recipe, "--fps", 90_000_000)
    with pytest.raises(FoldingError, match="not even the slowest folding"):
        told(recipe, "--max-lut", 60)
    with pytest.raises(UserError, match="a design cannot have 53,200 LUTs"):
        told(recipe, "--max-lut", "100%")
    with pytest.raises(UserError, match="a design cannot have 140 BRAM36s") as caught:
        told(recipe, "--max-bram", "100%")
    assert caught.value.where == "--max-bram"


def test_a_design_above_its_limit_says_by_how_much(recipe: Path) -> None:
    rate = ["--fps", "100000", "--max-dsp", "0", "--max-bram", "0"]
    least = told(recipe, *rate)["lut"]
    words = [str(recipe), *rate, "--max-lut", str(int(least * 0.8))]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 1
    assert "DOES NOT FIT: " in done.output
    assert " times that" in done.output


def test_only_recipes_have_values_to_set(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(tmp_path), "--set", "seed=1"])
    assert done.exit_code == 2
    assert "SOURCE is none" in done.output
