"""A network and a data set that an installed package brings are used like built-in ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_packages import install

from qdeploy.data.load import data_spec, load_dataset
from qdeploy.errors import RecipeError, UserError
from qdeploy.networks.from_recipe import build_network
from qdeploy.observer import Observer
from qdeploy.recipe.loading import dump_recipe, load_recipe
from qdeploy.training.train import train

SPECS = """
from pydantic import Field
from qdeploy.recipe.data import Data, DataSpec
from qdeploy.recipe.networks import NetworkSection, NetworkSpec


class TwoLayers(NetworkSection):
    units: int = Field(default=8, ge=1, le=64, description="hidden units")


class Stripes(Data):
    frames: int = Field(default=96, ge=8, description="training images")


TWO_LAYERS = NetworkSpec(TwoLayers, "outside_code:build")
STRIPES = DataSpec((1, 4, 4), 2, "outside_code:load", augments=("shift",), section=Stripes)
MISSING = NetworkSpec(TwoLayers, "outside_gone:build")
"""
CODE = """
import torch
from torch import nn
from qdeploy.data.dataset import in_memory


class Network(nn.Module):
    def __init__(self, units, make, shape, classes):
        super().__init__()
        self.input_shape = shape
        self.input_quant = make.input()
        self.flatten = nn.Flatten()
        self.fc = make.linear("fc", shape[0] * shape[1] * shape[2], units, "first")
        self.norm = nn.BatchNorm1d(units)
        self.act = make.relu("act")
        self.head = make.linear("head", units, classes, "last")

    def forward(self, x):
        return self.head(self.act(self.norm(self.fc(self.flatten(self.input_quant(x))))))


def build(section, make, shape, classes):
    return Network(section.units, make, shape, classes)


def load(folder, settings, observer):
    observer.note("drawing stripes")

    def stripes(count):
        labels = torch.arange(count) % 2
        images = torch.zeros(count, 1, 4, 4, dtype=torch.uint8)
        images[labels == 0, :, 1] = 200
        images[labels == 1, :, :, 2] = 200
        return images, labels

    return in_memory("stripes", stripes(settings.frames), stripes(32), ("row", "column"))
"""
RECIPE = """\
name: outside
network: {type: two-layers, units: 12}
data: {name: stripes, frames: 64, batch_size: 16}
training: {threads: 1}
phases:
  - {name: float, kind: pretrain, epochs: 1}
  - {name: retrain, kind: retrain, epochs: 1, optimizer: {lr: 0.01}}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install(
        tmp_path / "site",
        monkeypatch,
        "stripe-tools",
        {
            "qdeploy.networks": {
                "two-layers": "outside_specs:TWO_LAYERS",
                "missing": "outside_specs:MISSING",
                "broken": "outside_gone:SPEC",
            },
            "qdeploy.datasets": {"stripes": "outside_specs:STRIPES"},
        },
        {"outside_specs": SPECS, "outside_code": CODE},
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def test_a_network_and_a_data_set_of_another_package_are_trained(
    recipe: Path, tmp_path: Path
) -> None:
    loaded = load_recipe(recipe)
    assert data_spec(loaded.data).shape == (1, 4, 4)
    network = build_network(loaded, quantized=True)
    assert type(network).__module__ == "outside_code"
    notes: list[str] = []
    data = load_dataset(loaded.data, observer=Observer(note=notes.append))
    assert (len(data.train), notes) == (64, ["drawing stripes"])
    run = train(loaded, tmp_path / "run")
    summary = json.loads((run / "summary.json").read_text())
    assert [phase["name"] for phase in summary["phases"]] == ["float", "retrain"]
    # What a run stores is the whole recipe, keys of the package's own sections included.
    assert load_recipe(run / "recipe.yaml") == loaded


def test_values_of_such_sections_survive_a_dump(recipe: Path, tmp_path: Path) -> None:
    loaded = load_recipe(recipe, ["network.units=5", "data.frames=9"])
    text = dump_recipe(loaded)
    assert "units: 5" in text and "frames: 9" in text
    copy = tmp_path / "copy.yaml"
    copy.write_text(text)
    assert load_recipe(copy) == loaded


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("network.unit=3", "unknown key `network.unit`; did you mean `units`?"),
        ("network.units=0", "`network.units` is 0, which is not in the range 1 to 64"),
        ("data.frame=3", "unknown key `data.frame`; did you mean `frames`?"),
        ("data.augment=crop-flip", "does not work on `stripes`; choose shift or none"),
        ("data.partial=true", "`stripes` must be complete; remove data.partial"),
        ("network.type=two-layer", "`network.type` is `two-layer`; did you mean `two-layers`?"),
        ("data.name=stripe", "`data.name` is `stripe`; did you mean `stripes`?"),
    ],
)
def test_mistakes_in_such_sections_are_explained(recipe: Path, override: str, what: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, [override])
    assert what in caught.value.what
    assert caught.value.where is not None


def test_a_broken_package_is_named_when_its_network_is_asked_for(recipe: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(recipe, ["network.type=broken"])
    assert "`broken` of the package `stripe-tools` cannot be loaded" in caught.value.what
    loaded = load_recipe(recipe, ["network.type=missing"])
    with pytest.raises(UserError, match="`missing` of the package `stripe-tools` cannot be"):
        build_network(loaded, quantized=False)


def test_a_recipe_is_read_without_torch() -> None:
    program = (
        "import sys\n"
        "from qdeploy.recipe.loading import load_recipe\n"
        "from qdeploy.resources import resource\n"
        "load_recipe(resource('models/quickstart/digits_fcdnn_w2a2.yaml'))\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'brevitas', 'numpy', 'PIL')))\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
