"""Numbers to predict: trained normalized, measured in their units, and exact in the build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qdeploy.build.scores import scores
from qdeploy.build.source import RunSource
from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.data.load import load_dataset
from qdeploy.data.own.facts import with_facts
from qdeploy.errors import DataError, RecipeError
from qdeploy.lowering.integers.lower import lower_with_affine
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.training.metrics import read_metrics
from qdeploy.training.objective import tally
from qdeploy.training.run import load_run, read_summary
from qdeploy.training.train import train

RECIPE = """\
name: heat
network: {type: fcdnn, width: 24, depth: 2}
quantization: {weight_bits: 4, activation_bits: 4}
data: {name: csv, path: t.csv, task: regression, targets: [heat, flow], batch_size: 32}
training: {threads: 1}
phases:
  - {name: float, kind: pretrain, epochs: 12, optimizer: {lr: 0.02}}
  - {name: retrain, kind: retrain, epochs: 8, optimizer: {lr: 0.005}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (400, 3))
    heat = 500 + 20 * x[:, 0] - 10 * x[:, 1]
    flow = 0.01 * np.abs(x[:, 2])
    lines = ["a,heat,b,flow,c"] + [
        f"{a:.5g},{h:.6g},{b:.5g},{f:.5g},{c:.5g}"
        for (a, b, c), h, f in zip(x, heat, flow, strict=True)
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def trained(recipe: Path, *changes: str) -> Path:
    return train(load_recipe(recipe, changes), recipe.parent / "run", recipe.parent)


def test_two_numbers_are_learned_and_measured_in_their_units(recipe: Path) -> None:
    folder = trained(recipe)
    summary = read_summary(folder)
    assert summary is not None
    assert summary["r2"] > 0.8 and "accuracy" not in summary
    assert 0.1 < summary["mae"] < 5
    rows = read_metrics(folder)
    assert "train R² " in rows[0].sentence() and "(MAE " in rows[0].sentence()
    assert summary["phases"][0]["validation_r2"] == max(row.validation_r2 or 0 for row in rows[:12])
    run = load_run(folder)
    data = run.recipe.data.model_dump()
    assert data["targets"] == ("heat", "flow") and data["shape"] == (3, 1, 1)
    assert 490 < data["target_mean"][0] < 510 and 5 < data["target_scale"][0] < 20
    # The stored recipe is whole: the same data are the same run.
    assert with_facts(run.recipe, recipe.parent) == run.recipe


def test_the_integers_give_the_real_numbers_that_the_summary_measured(recipe: Path) -> None:
    folder = trained(recipe)
    source = RunSource(folder, recipe.parent)
    assert source.predicts_numbers and source.classes == ("heat", "flow")
    path = recipe.parent / "model.onnx"
    source.write_qonnx(path)
    graph = lower_with_affine(path, argmax=False).graph
    frames = source.frames(graph, 1, 0)
    assert frames.targets is not None
    frames = frames.first(frames.tested)
    emit_onnx(graph, recipe.parent / "int.onnx", taps=False)
    result = IntSimulator(recipe.parent / "int.onnx").run(frames.codes)[graph.output]
    assert source.network is not None
    images = source.run.dataset(recipe.parent).test_images
    with torch.no_grad():
        # The network reads real values; the codes' own values are among them.
        scaling = load_run(folder).scaling
        assert scaling is not None
        steps = (np.array(scaling.high) - np.array(scaling.low)).reshape(-1, 1, 1) / 255
        real = np.array(scaling.low).reshape(-1, 1, 1) + images.numpy() * steps
        wanted = source.network(torch.from_numpy(real.astype(np.float32))).numpy()
    assert graph.head.values(result) == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    measured = scores(graph, frames, result)
    summary = read_summary(folder)
    assert summary is not None
    assert measured["r2"] == pytest.approx(summary["r2"], abs=1e-3)
    assert measured["mae"] == pytest.approx(summary["mae"], rel=1e-3)


def test_figures_are_those_of_their_definitions(recipe: Path) -> None:
    recipe_ = load_recipe(recipe)
    dataset = load_dataset(recipe_.data, recipe.parent)
    assert dataset.targets is not None
    outputs = torch.randn(50, 2)
    counted = tally(dataset)
    for part in (slice(0, 20), slice(20, 50)):
        counted.add(outputs[part], dataset.train_labels[part])
    wanted = dataset.targets.real(dataset.train_labels[:50].numpy())
    found = dataset.targets.real(outputs.numpy())
    from sklearn.metrics import mean_absolute_error, r2_score

    score = counted.score()
    assert score.r2 == pytest.approx(r2_score(wanted, found))
    assert score.mae == pytest.approx(mean_absolute_error(wanted, found))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("phases.float.loss.label_smoothing=0.1", "is about classes"),
        ("phases.float.loss.function=cross-entropy", "is about classes"),
        ("phases.float.mixup=0.2", "is about classes"),
        ("data.class_names=[a, b]", "numbers to predict have no classes"),
        ("data.target_mean=[1, 2]", "belong together"),
        ("data.task=classification", "set `task: regression`"),
        ("data={name: digits}", None),
    ],
)
def test_what_is_about_classes_is_refused(recipe: Path, change: str, what: str | None) -> None:
    if what is None:
        with pytest.raises(RecipeError, match="is for numbers to predict"):
            load_recipe(recipe, [change, "phases.float.loss.function=mse"])
        return
    with pytest.raises(RecipeError, match=what):
        load_recipe(recipe, [change])


def test_absolute_error_is_another_loss(recipe: Path) -> None:
    changes = ["training.epochs=1"]
    for index, name in enumerate(("mse", "mae")):
        folder = recipe.parent / f"run{index}"
        loaded = load_recipe(recipe, [*changes, f"phases.float.loss.function={name}"])
        train(loaded, folder, recipe.parent)
    first, second = (read_metrics(recipe.parent / f"run{index}")[0].loss for index in (0, 1))
    assert first != second


def test_a_target_that_is_constant_is_refused(recipe: Path) -> None:
    table = recipe.parent / "t.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0] + ",k", *(line + ",7" for line in lines[1:])]) + "\n")
    loaded = load_recipe(recipe, ["data.targets=[heat, k]"])
    with pytest.raises(DataError, match="the target `k` is the same in all training frames"):
        load_dataset(loaded.data, recipe.parent)


def test_arrays_have_one_number_or_several(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 4))
    for name, y, names in (("one", x[:, 0], ("y",)), ("two", x[:, :2], ("y0", "y1"))):
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
        data = _arrays(tmp_path, f"{name}.npz")
        assert data.classes == names and data.task == "regression"
        assert data.train_labels.shape == (48, len(names))
    np.savez(tmp_path / "bad.npz", x=x, y=np.where(np.arange(60) == 7, np.nan, 1.0))
    with pytest.raises(DataError) as caught:
        _arrays(tmp_path, "bad.npz")
    assert caught.value.why == "that of frame 7 is no finite number"


def _arrays(folder: Path, path: str) -> Any:
    text = json.dumps(
        {
            "name": "a",
            "network": {"type": "fcdnn"},
            "data": {"name": "arrays", "path": path, "task": "regression"},
            "phases": [
                {"name": "f", "kind": "pretrain", "epochs": 1},
                {"name": "r", "kind": "retrain", "epochs": 1},
            ],
        }
    )
    return load_dataset(Recipe.model_validate_json(text).data, folder)
