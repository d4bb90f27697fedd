"""Code of the user's own, named python:module:object: what is loaded, when, and who is blamed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qdeploy import plugins
from qdeploy.data.load import load_dataset
from qdeploy.errors import DataError, PluginError, RecipeError, UserError
from qdeploy.networks.from_recipe import build_network
from qdeploy.observer import SILENT
from qdeploy.plugins import allow, load_plugin
from qdeploy.recipe.loading import dump_recipe, load_recipe
from qdeploy.training.run import read_summary
from qdeploy.training.train import train

MODULE = """
import torch
from os import system
from pathlib import Path
from torch import nn
from torch.utils.data import TensorDataset


def make_dataset(path, count=40, raises=False):
    if raises:
        raise RuntimeError("no sensor")
    assert isinstance(path, Path)
    labels = torch.arange(count) % 2
    return TensorDataset(labels[:, None, None, None] * 2.0 + torch.rand(count, 1, 4, 4), labels)


class Network(nn.Module):
    def __init__(self, make, shape, classes, units=6):
        super().__init__()
        self.input_quant = make.input()
        self.flatten = nn.Flatten()
        self.fc = make.linear("fc", shape[0] * shape[1] * shape[2], units, "first")
        self.norm = nn.BatchNorm1d(units)
        self.act = make.relu("act")
        self.head = make.linear("head", units, classes, "last")

    def forward(self, x):
        return self.head(self.act(self.norm(self.fc(self.flatten(self.input_quant(x))))))


def headless(make, shape, classes):
    return nn.Flatten()


def wrong_shape(make, shape, classes):
    return Network(make, shape, classes + 1)


def squared(logits, labels, power=2):
    return ((torch.softmax(logits, 1)[:, 1] - labels).abs() ** power).mean()


def per_sample(logits, labels):
    return logits[:, 0]
"""
RECIPE = """\
name: own
network: {type: "python:own_plugin:Network", arguments: {units: 5}}
data: {name: "python:own_plugin:make_dataset", path: ., batch_size: 16, arguments: {count: 80}}
training: {threads: 1}
phases:
  - name: float
    kind: pretrain
    epochs: 1
    loss: {function: "python:own_plugin:squared", arguments: {power: 3}}
  - {name: retrain, kind: retrain, epochs: 1, optimizer: {lr: 0.01}}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "own_plugin.py").write_text(MODULE)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    plugins.forbid_all()
    yield tmp_path / "recipe.yaml"
    plugins.forbid_all()
    sys.modules.pop("own_plugin", None)


def test_data_network_and_loss_of_a_module_are_trained(recipe: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    allow(["own_plugin"], notes.append)
    loaded = load_recipe(recipe)
    run = train(loaded, tmp_path / "run")
    summary = read_summary(run)
    assert summary is not None and summary["phases"][1]["name"] == "retrain"
    assert notes == [f"plug-in: the module `own_plugin` is loaded from {tmp_path}/own_plugin.py"]
    stored = load_recipe(run / "recipe.yaml")
    assert stored.data.facts() == ((1, 4, 4), 2)
    network = build_network(stored, quantized=True)
    assert type(network).__module__ == "own_plugin"


def test_a_recipe_alone_loads_no_module(recipe: Path, tmp_path: Path) -> None:
    loaded = load_recipe(recipe)
    assert load_recipe(_written(tmp_path, dump_recipe(loaded))) == loaded
    with pytest.raises(UserError, match="`own_plugin` is not loaded: nobody allowed it") as caught:
        train(loaded, tmp_path / "run")
    assert "--plugin own_plugin" in (caught.value.do or "")
    assert "own_plugin" not in sys.modules


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("python:os:system", "the module `os` is not loaded"),
        ("python:own_plugin:system", "no function or class `system` of its own"),
        ("python:own_plugin:Path", "no function or class `Path` of its own"),
        ("python:own_plugin:missing", "no function or class `missing` of its own"),
        ("python:own_plugin:torch.load", "names no function of a module"),
        ("python:own_plugin", "names no function of a module"),
        ("python:../own_plugin:f", "names no function of a module"),
    ],
)
def test_an_allowed_module_opens_no_way_to_others(recipe: Path, name: str, what: str) -> None:
    allow(["own_plugin"])
    with pytest.raises(UserError, match=what):
        load_plugin(name)


def test_what_raises_is_shown_with_its_own_traceback(recipe: Path) -> None:
    allow(["own_plugin"])
    loaded = load_recipe(recipe, ["data.arguments={raises: true}"])
    with pytest.raises(PluginError) as caught:
        load_dataset(loaded.data, None, SILENT)
    error = caught.value
    assert error.what == (
        "the plug-in `python:own_plugin:make_dataset` raised RuntimeError: no sensor"
    )
    assert 'raise RuntimeError("no sensor")' in (error.why or "")
    assert "qdeploy/data" not in (error.why or "")
    assert (error.where or "").endswith("own_plugin.py, line 11")
    assert error.exit_code == 2


def test_a_module_that_cannot_be_imported_is_shown_with_its_line(
    recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "own_plugin.py").write_text("import torch\n1 / 0\n")
    allow(["own_plugin"])
    with pytest.raises(PluginError, match="raised ZeroDivisionError") as caught:
        load_plugin("python:own_plugin:make_dataset")
    assert "1 / 0" in (caught.value.why or "")
    (tmp_path / "own_plugin.py").write_text("def f(:\n")
    with pytest.raises(PluginError, match="raised SyntaxError") as caught:
        load_plugin("python:own_plugin:make_dataset")
    assert (caught.value.where or "").endswith("own_plugin.py, line 1")


def test_arguments_that_the_function_does_not_take_are_refused(recipe: Path) -> None:
    allow(["own_plugin"])
    loaded = load_recipe(recipe, ["data.arguments={number: 3}"])
    with pytest.raises(DataError, match="cannot be called: got an unexpected keyword"):
        load_dataset(loaded.data, None, SILENT)


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("network.type=python:own_plugin:headless", "no attribute `head`"),
        ("network.type=python:own_plugin:wrong_shape", r"gives \(2, 3\), not \(2, 2\)"),
    ],
)
def test_networks_that_do_not_suit_are_refused(recipe: Path, override: str, what: str) -> None:
    allow(["own_plugin"])
    loaded = load_recipe(recipe, [override, "network.arguments={}"])
    with pytest.raises(RecipeError) as caught:
        build_network(loaded, quantized=False, shape=(1, 4, 4), classes=2)

    assert re.search(what, caught.value.why or "")


def test_a_loss_that_is_no_number_is_refused(recipe: Path, tmp_path: Path) -> None:
    allow(["own_plugin"])
    changes = ["phases.float.loss={function: 'python:own_plugin:per_sample'}"]
    with pytest.raises(RecipeError, match="gives no single number"):
        train(load_recipe(recipe, changes), tmp_path / "run")
    with pytest.raises(RecipeError, match="are for the cross entropy"):
        load_recipe(recipe, ["phases.float.loss.label_smoothing=0.1"])


def _written(folder: Path, text: str) -> Path:
    path = folder / "again.yaml"
    path.write_text(text)
    return path
