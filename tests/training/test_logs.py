"""Logs beside metrics.jsonl: a table, and curves for TensorBoard."""

import csv
import json
import sys
from pathlib import Path

import pytest

from qdeploy.errors import RecipeError
from qdeploy.observer import Observer
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.training import Log
from qdeploy.training.logs import PACKAGE
from qdeploy.training.metrics import METRICS
from qdeploy.training.run import MODEL, recipe_digest
from qdeploy.training.train import train


class StoppedError(Exception):
    """Ends a training between two epochs."""


def stop(sentence: str) -> None:
    """Hear of the second epoch, and end."""
    if sentence.startswith("float 2/2"):
        raise StoppedError


def logging(recipe: Recipe, *logs: Log) -> Recipe:
    training = {"threads": 1, "logs": list(logs)}
    return Recipe.model_validate({**recipe.model_dump(), "training": training})


def rows_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_the_rows_of_the_metrics_also_after_an_interruption(recipe, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(logging(recipe), folder, observer=Observer(stop))
    assert not (folder / "metrics.csv").exists()
    # Another log is no other recipe.
    train(logging(recipe, "csv"), folder, resume=True)
    rows, table = rows_of(folder), table_of(folder)
    assert len(table) == len(rows) == 7
    for row, line in zip(rows, table, strict=True):
        assert {key: value for key, value in line.items() if value} == {
            key: str(value) for key, value in row.items()
        }
    assert {line["miou"] for line in table} == {""}
    train(logging(recipe), folder, force=True)
    assert not (folder / "metrics.csv").exists()


def test_logs_change_neither_weights_nor_the_recipes_digest(recipe, tmp_path):
    assert recipe_digest(logging(recipe, "csv", "tensorboard")) == recipe_digest(recipe)
    plain = train(recipe, tmp_path / "plain")
    logged = train(logging(recipe, "csv"), tmp_path / "logged")
    assert (plain / MODEL).read_bytes() == (logged / MODEL).read_bytes()


def test_curves_without_their_package_are_refused_before_training(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as Python has it where it is absent
    with pytest.raises(RecipeError, match="`tensorboard`, which is not installed") as caught:
        train(logging(recipe, "tensorboard"), tmp_path / "run")
    assert caught.value.where == "training.logs"
    assert f"pip install '{PACKAGE}'" in (caught.value.do or "")
    assert not (tmp_path / "run").exists()


def test_a_package_that_does_not_load_is_refused_before_training(recipe, tmp_path, monkeypatch):
    """One that comes first on the path, and is of another protobuf."""
    broken = tmp_path / "packages" / "tensorboard"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(
        "from google.protobuf.runtime_version import VersionError\nraise VersionError('too old')\n"
    )
    monkeypatch.syspath_prepend(broken.parent)
    for name in [name for name in sys.modules if "tensorboard" in name]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(RecipeError, match="`tensorboard`, which cannot be loaded") as caught:
        train(logging(recipe, "tensorboard"), tmp_path / "run")
    assert caught.value.why == "too old"
    assert not (tmp_path / "run").exists()


def test_curves_have_the_numbers_of_the_metrics_also_after_an_interruption(recipe, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "run"
    one = logging(recipe, "tensorboard")
    with pytest.raises(StoppedError):
        train(one, folder, observer=Observer(stop))
    train(one, folder, resume=True)
    curves = EventAccumulator(str(folder / "tensorboard"))
    curves.Reload()
    rows = rows_of(folder)
    for key in ("loss", "accuracy", "train_accuracy", "lr", "lipschitz", "seconds"):
        points = curves.Scalars(key)
        assert [point.step for point in points] == list(range(1, 8))
        assert [point.value for point in points] == pytest.approx([row[key] for row in rows])
    assert "epoch" not in curves.Tags()["scalars"]
    (folder / "tensorboard" / "own.txt").touch()
    train(logging(recipe), folder, force=True)
    assert [path.name for path in (folder / "tensorboard").iterdir()] == ["own.txt"]
