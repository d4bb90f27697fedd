"""Real values as codes: in training, in the exported file, and on the host of a board."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qdeploy.data.dataset import network_input
from qdeploy.data.own.facts import with_facts
from qdeploy.data.scaling import Scaling
from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.own_data import Table
from qdeploy.training.train import train

finite = st.floats(-(2.0**100), 2.0**100, width=32)

RECIPE = """\
name: wells
network: {type: fcdnn, width: 8, depth: 1}
data: {name: csv, path: wells.csv}
phases:
  - {name: float, kind: pretrain, epochs: 2, optimizer: {lr: 0.05}}
  - {name: retrain, kind: retrain, epochs: 1, optimizer: {lr: 0.01}}
"""


@given(arrays(np.float32, (6, 3, 1, 2), elements=finite))
def test_the_ends_of_a_range_are_the_first_and_the_last_code(values):
    scaling = Scaling.of(values, 0.0)
    codes = scaling.codes(values)
    for row in range(3):
        own, of_row = values[:, row], codes[:, row]
        assert of_row[own == own.min()].max() == 0
        if np.float32(own.max()) > np.float32(own.min()):
            assert of_row[own == own.max()].min() == 255
        order = np.argsort(own, axis=None)
        assert (np.diff(of_row.reshape(-1)[order].astype(int)) >= 0).all()


@given(
    arrays(np.float32, (6, 3, 1, 2), elements=st.floats(-(2.0**60), 2.0**60, width=32)),
    st.integers(2, 8),
    st.sampled_from(["range", "standard"]),
    st.floats(0.25, 8.0),
)
def test_signed_codes_have_their_zero_in_the_middle_and_rise(values, bits, scaling, limit):
    data = section(scaling=scaling, bits=bits, signed=True, limit=limit)
    found = Scaling.learned(values, data)
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    codes = found.codes(values)
    assert lowest <= codes.min() and codes.max() <= highest
    order = np.argsort(values[:, 0], axis=None)
    assert (np.diff(codes[:, 0].reshape(-1)[order]) >= 0).all()
    ends = np.array([found.low, found.high, found.offset])[:, :, None, None].astype(np.float32)
    codes = found.codes(ends)
    # Ends that differ by less than a step's rounding in float32 are no range to speak of.
    wide = (ends[1] - ends[0]) > np.abs(ends).max(0) * 2.0**-10
    assert (codes[0][wide] == lowest).all() and (codes[1][wide] == highest).all()
    assert (codes[2] == 0).all()
    again = Scaling.of_section(data.model_copy(update=found.facts()))
    assert again == found


def test_mean_and_scale_are_those_of_the_training_set():
    values = np.array([1, 2, 3, 6], np.float32).reshape(-1, 1, 1, 1)
    found = Scaling.learned(values, section(scaling="standard", limit=2.0, signed=True))
    assert found.mean == (3.0,) and found.scale == (np.sqrt(3.5),)
    step = 2.0 * np.sqrt(3.5) / 127
    wanted = [round((x - 3) / step) for x in (1, 2, 3, 6)]
    assert found.codes(values).reshape(-1).tolist() == wanted
    unsigned = Scaling.learned(values, section(scaling="standard", limit=2.0, bits=3))
    steps = [(x - 3 + 2 * np.sqrt(3.5)) * 7 / (4 * np.sqrt(3.5)) for x in (1, 2, 3, 6)]
    assert unsigned.codes(values).reshape(-1).tolist() == [round(one) for one in steps]
    one = Scaling.learned(np.full((4, 1, 1, 1), 7, np.float32), section(scaling="standard"))
    assert (one.mean, one.scale) == ((7.0,), (7.0,))


def test_bytes_of_a_data_set_lead_back_to_the_codes():
    for bits in range(2, 9):
        found = Scaling((0.0,), (1.0,), bits, signed=True)
        values = np.linspace(-0.1, 1.1, 1000, dtype=np.float32).reshape(-1, 1, 1, 1)
        kept = network_input(torch.from_numpy(found.bytes(values)), bits)
        assert torch.equal(kept - 0.5, torch.from_numpy(found.codes(values)) * 2.0**-bits)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"scaling": "range", "mean": [0.0], "scale": [1.0]}, "not of `range`"),
        ({"mean": [0.0], "scale": [1.0], "clip": 0.1}, "give those of one"),
        ({"scaling": "standard", "low": [0.0], "high": [1.0]}, "give those of one"),
        ({"scaling": "standard", "clip": 0.1}, "give those of one"),
        ({"scaling": "standard", "mean": [0.0]}, "belong together"),
        ({"scaling": "standard", "mean": [0.0], "scale": [1.0, 2.0]}, "1 values and `scale` 2"),
        ({"scaling": "standard", "mean": [0.0], "scale": [0.0]}, "greater than 0"),
        ({"signed": True, "bits": 1}, "at least 2 `bits`"),
    ],
)
def test_keys_that_are_not_of_one_scaling_are_refused(keys, told):
    with pytest.raises(ValueError, match=told):
        section(**keys)


def test_values_beyond_the_range_become_its_ends():
    scaling = Scaling((0.0,), (51.0,))
    values = np.array([-3e38, -1, 0, 0.1, 0.2, 51, 52, 3e38], np.float32).reshape(-1, 1, 1, 1)
    assert scaling.codes(values).reshape(-1).tolist() == [0, 0, 0, 0, 1, 255, 255, 255]


def section(**keys: object) -> Table:
    return Table.model_validate({"name": "csv", "path": "x.csv", **keys})


def wells(folder: Path) -> Path:
    """A table of two features of very different range, and a recipe for it."""
    random = np.random.default_rng(3)
    lines = ["depth,flow,label"]
    for index in range(60):
        lines.append(f"{random.normal() * 3000 + 100:.9g},{random.random() / 700:.9g},{index % 3}")
    (folder / "wells.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "wells.yaml").write_text(RECIPE, encoding="utf-8")
    return folder / "wells.yaml"


SCALINGS = [
    {},
    {"bits": 3},
    {"signed": True},
    {"bits": 4, "signed": True, "clip": 0.05},
    {"scaling": "standard", "limit": 2.5},
    {"scaling": "standard", "signed": True, "bits": 2},
    {"signed": True, "mean": [100, 7e-4], "scale": [3000, 4e-4]},
]


@pytest.mark.parametrize("keys", SCALINGS, ids=str)
def test_the_file_and_the_training_give_every_value_the_same_code(keys, tmp_path):
    from qdeploy.build.source import RunSource
    from qdeploy.lowering.canonical.import_qonnx import canonical
    from qdeploy.lowering.integers.lower import lower_model

    keys = {key: json.dumps(value) for key, value in keys.items()}
    recipe = load_recipe(wells(tmp_path), [f"data.{key}={text}" for key, text in keys.items()])
    source = RunSource(train(recipe, tmp_path / "run", tmp_path), tmp_path)
    source.write_qonnx(tmp_path / "net.onnx")
    graph = lower_model(canonical(tmp_path / "net.onnx")).graph
    assert graph.preparation is not None
    scaling = source.run.scaling
    assert scaling is not None
    random = np.random.default_rng(0)
    inside = random.uniform(scaling.low, scaling.high, (20_000, 2)).astype(np.float32)
    edges = graph.preparation.thresholds.T
    around = [edges, np.nextafter(edges, np.float32(-np.inf)), np.nextafter(edges, np.float32(9e9))]
    values = np.concatenate([inside, *around])[:, :, None, None]
    wanted = scaling.codes(values)
    assert np.array_equal(graph.preparation.codes(values), wanted)
    every = range(scaling.lowest, scaling.lowest + 2**scaling.bits)
    assert set(np.unique(wanted)) == set(every)
    frames = source.frames(graph, 12, 0)
    assert np.array_equal(frames.codes, frames.raw)
    # The training's network, on what it was trained with, is the file's, on the real values.
    images = network_input(torch.from_numpy(scaling.bytes(values)), scaling.bits)
    with torch.no_grad():
        trained, exported = source.run.network(images), source.network(torch.from_numpy(values))
    assert torch.equal(trained, exported)


def test_a_run_has_what_was_found_and_needs_no_data_to_be_read(tmp_path):
    from qdeploy.training.run import load_run

    path = wells(tmp_path)
    recipe = load_recipe(path)
    out = train(recipe, tmp_path / "run", tmp_path)
    assert train(recipe, out, tmp_path) == out  # finished: nothing to do
    (tmp_path / "wells.csv").unlink()
    run = load_run(out)
    assert run.recipe.data.facts() == ((2, 1, 1), 3)
    assert run.scaling is not None
    assert len(run.scaling.low) == 2


def test_other_data_is_another_run(tmp_path):
    from qdeploy.errors import CheckpointError

    recipe = load_recipe(wells(tmp_path))
    out = train(recipe, tmp_path / "run", tmp_path)
    path = tmp_path / "wells.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("label\n", "label\n99999,0,1\n"))
    with pytest.raises(CheckpointError, match="a different recipe") as caught:
        train(recipe, out, tmp_path)
    assert "data" in (caught.value.why or "")


def test_the_width_of_a_code_is_given_in_one_place(tmp_path):
    path = wells(tmp_path)
    for key in ("quantization.input_bits", "data.bits"):
        recipe = load_recipe(path, [f"{key}=4"])
        assert (recipe.data.bits, recipe.quantization.input_bits) == (4, 4)
        again = Recipe.model_validate(recipe.model_dump())
        assert again == recipe
    with pytest.raises(RecipeError, match="give one of the two"):
        load_recipe(path, ["quantization.input_bits=4", "data.bits=5"])
    with pytest.raises(RecipeError, match="at least 2 `bits`"):
        load_recipe(path, ["quantization.input_bits=1", "data.signed=true"])


def test_what_a_recipe_has_already_is_not_looked_for_again(tmp_path):
    found = with_facts(load_recipe(wells(tmp_path)), tmp_path)
    (tmp_path / "wells.csv").unlink()
    assert with_facts(found, tmp_path) is found


def test_keys_that_do_not_suit_what_is_found_are_refused(tmp_path):
    overrides = ["phases.retrain.loss={class_weights: [1, 1]}"]
    recipe = load_recipe(wells(tmp_path), overrides)
    with pytest.raises(RecipeError, match="has 2 class weights") as caught:
        with_facts(recipe, tmp_path)
    assert "2x1x1 in 3 classes" in (caught.value.why or "")
