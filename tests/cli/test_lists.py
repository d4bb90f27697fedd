"""`qdeploy boards`, `qdeploy targets` and `qdeploy recipes`, and recipes by name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from qdeploy.cli.boards import boards
from qdeploy.cli.estimate import estimate
from qdeploy.cli.recipes import recipes
from qdeploy.cli.targets import targets
from qdeploy.cli.train import train
from qdeploy.devices.boards import list_boards
from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.shipped import recipe_file, shipped_recipes
from qdeploy.targets.registry import TARGETS


def test_every_board_is_listed_with_its_part() -> None:
    found = json.loads(CliRunner().invoke(boards, ["--json"], catch_exceptions=False).output)
    assert sorted(one["name"] for one in found) == sorted(list_boards())
    luts = [one["resources"]["lut"] for one in found]
    assert luts == sorted(luts)
    text = CliRunner().invoke(boards, catch_exceptions=False).output
    assert all(one["part"] in text for one in found)


def test_every_target_is_listed_with_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json.loads(CliRunner().invoke(targets, ["--json"], catch_exceptions=False).output)
    by_name = {one["name"]: one for one in found}
    assert by_name.keys() == set(TARGETS.names())
    needs = {one["name"]: one for one in by_name["c"]["needs"]}
    assert needs["gcc"]["installed"] is True
    assert not by_name["c"]["boards"] and by_name["pynq"]["boards"]
    monkeypatch.setenv("PATH", str(tmp_path))
    text = CliRunner().invoke(targets, catch_exceptions=False, env={"COLUMNS": "200"}).output
    assert "sudo apt-get install gcc-arm-none-eabi" in text
    without = CliRunner().invoke(targets, ["--json"], catch_exceptions=False).output
    assert not any(one["complete"] for one in json.loads(without))


def test_every_recipe_is_listed_and_is_one() -> None:
    names = [one.name for one in shipped_recipes()]
    assert "quickstart/digits_fcdnn_w2a2" in names
    assert not any("common" in name or name.endswith("tables") for name in names)
    assert all(one.title for one in shipped_recipes())
    shown = CliRunner().invoke(recipes, ["mnist", "--json"], catch_exceptions=False).output
    found = json.loads(shown)
    assert [one["name"] for one in found] == [name for name in names if "mnist" in name]
    assert {one["data"] for one in found} == {"mnist"}
    text = CliRunner().invoke(recipes, ["mlp"], catch_exceptions=False).output
    assert re.search(r"mnist/mnist_mlp_w2a2 +fcdnn +mnist +W2A2\n", text)


def test_a_recipe_by_name_is_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = recipe_file(Path("quickstart/digits_fcdnn_w2a2"))
    assert load_recipe(path).name == "digits_fcdnn_w2a2"
    assert recipe_file(Path("models/quickstart/digits_fcdnn_w2a2.yaml")) == path
    (tmp_path / "quickstart").mkdir()
    own = tmp_path / "quickstart/digits_fcdnn_w2a2"
    own.write_text("name: mine")
    assert recipe_file(Path("quickstart/digits_fcdnn_w2a2")) == Path("quickstart") / own.name


def test_a_name_of_nothing_gets_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (train, estimate):
        with pytest.raises(RecipeError) as caught:
            CliRunner().invoke(command, ["quickstart/digit_fcdnn_w2a2"], catch_exceptions=False)
        assert "did you mean `quickstart/digits_fcdnn_w2a2`?" in caught.value.what
