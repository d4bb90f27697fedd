"""Real values as codes: in training, in the exported file, and on the host of a board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qdeploy.data.own.facts import with_facts
from qdeploy.data.scaling import Scaling
from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import load_recipe
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


def test_values_beyond_the_range_become_its_ends():
    scaling = Scaling((0.0,), (51.0,))
    values = np.array([-3e38, -1, 0, 0.1, 0.2, 51, 52, 3e38], np.float32).reshape(-1, 1, 1, 1)
    assert scaling.codes(values).reshape(-1).tolist() == [0, 0, 0, 0, 1, 255, 255, 255]


def wells(folder: Path) -> Path:
    """A table of two features of very different range, and a recipe for it."""
    random = np.random.default_rng(3)
    lines = ["depth,flow,label"]
    for index in range(60):
        lines.append(f"{random.normal() * 3000 + 100:.9g},{random.random() / 700:.9g},{index % 3}")
    (folder / "wells.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "wells.yaml").write_text(RECIPE, encoding="utf-8")
    return folder / "wells.yaml"


def test_the_file_and_the_training_give_every_value_the_same_code(tmp_path):
    from qdeploy.build.source import RunSource
    from qdeploy.lowering.canonical.import_qonnx import canonical
    from qdeploy.lowering.integers.lower import lower_model

    recipe = load_recipe(wells(tmp_path))
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
    assert set(np.unique(wanted)) == set(range(256))
    frames = source.frames(graph, 12, 0)
    assert np.array_equal(frames.codes, frames.raw)


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


def test_real_values_have_eight_bits(tmp_path):
    recipe = load_recipe(wells(tmp_path), ["quantization.input_bits=4"])
    with pytest.raises(RecipeError, match="real values become codes of 8 bits"):
        with_facts(recipe, tmp_path)


def test_what_a_recipe_has_already_is_not_looked_for_again(tmp_path):
    found = with_facts(load_recipe(wells(tmp_path)), tmp_path)
    (tmp_path / "wells.csv").unlink()
    assert with_facts(found, tmp_path) is found
    fewer = found.quantization.model_copy(update={"input_bits": 4})
    with pytest.raises(RecipeError, match="real values become codes of 8 bits"):
        with_facts(found.model_copy(update={"quantization": fewer}), tmp_path)


def test_keys_that_do_not_suit_what_is_found_are_refused(tmp_path):
    overrides = ["phases.retrain.loss={class_weights: [1, 1]}"]
    recipe = load_recipe(wells(tmp_path), overrides)
    with pytest.raises(RecipeError, match="has 2 class weights") as caught:
        with_facts(recipe, tmp_path)
    assert "2x1x1 in 3 classes" in (caught.value.why or "")
