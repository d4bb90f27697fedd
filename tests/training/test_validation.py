"""Choosing an epoch by the validation split, and stopping early."""

import json

import pytest
from torch import nn

from qdeploy.data.holdout import with_validation
from qdeploy.data.load import load_dataset
from qdeploy.errors import DataError, RecipeError
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import Batching
from qdeploy.training.best_epoch import BestEpoch
from qdeploy.training.evaluate import measure
from qdeploy.training.metrics import read_metrics
from qdeploy.training.objective import Score
from qdeploy.training.protocol import protocol_sentence
from qdeploy.training.run import MODEL, load_run
from qdeploy.training.train import train


@pytest.fixture
def held(recipe) -> Recipe:
    """The rate falls, then rises to where the network is lost: the last epoch is not the best."""
    values = recipe.model_dump()
    values["data"]["validation"] = 0.2
    for phase in values["phases"]:
        phase["epochs"] = 5
        phase["schedule"] = {"type": "cyclical", "period_epochs": 5, "min_lr": 0.01, "max_lr": 4}
    return Recipe.model_validate(values)


def test_each_phase_keeps_its_best_epoch_and_is_tested_once(held, tmp_path):
    folder = train(held, tmp_path / "run")
    rows = read_metrics(folder)
    summary = json.loads((folder / "summary.json").read_text())
    for index, phase in enumerate(summary["phases"]):
        of_phase = [row for row in rows if row.phase_index == index]
        assert [row.accuracy is not None for row in of_phase[:-1]] == [False] * (len(of_phase) - 1)
        figures = [row.validation_accuracy for row in of_phase]
        best = max(range(len(figures)), key=lambda at: (figures[at], at))
        assert phase["kept_epoch"] == of_phase[-1].kept_epoch == best + 1
        assert phase["validation_accuracy"] == max(figures)
        assert phase["train_accuracy"] == of_phase[best].train_accuracy
        assert f"test {of_phase[-1].accuracy:.2%} of epoch {best + 1}" in of_phase[-1].sentence()
    assert summary["phases"][0]["kept_epoch"] < summary["phases"][0]["epochs"]
    run = load_run(folder)
    data = with_validation(load_dataset(held.data), 0.2, held.seed)
    score = measure(run.network, data, Batching.of(held))
    assert score.accuracy == summary["accuracy"] == summary["phases"][-1]["accuracy"]
    assert summary["protocol"]["images"] == {"train": 1150, "validation": 287, "test": 360}
    assert "the 360 test images are measured once" in protocol_sentence(summary["protocol"])


def test_the_next_phase_starts_from_the_epoch_that_was_kept(held, tmp_path):
    folder = train(held, tmp_path / "run")
    rows = [row for row in read_metrics(folder) if row.phase_index == 0]
    kept = rows[-1].kept_epoch
    assert kept < len(rows)
    short = held.model_dump()
    short["phases"][0]["epochs"] = kept  # the rates of a cycle do not depend on the epochs
    other = train(Recipe.model_validate(short), tmp_path / "short")
    assert (other / MODEL).read_bytes() == (folder / MODEL).read_bytes()


def test_the_last_epoch_is_kept_where_the_recipe_says_so(held, tmp_path):
    values = held.model_dump()
    values["training"]["keep"] = "last"
    folder = train(Recipe.model_validate(values), tmp_path / "last")
    summary = json.loads((folder / "summary.json").read_text())
    assert [p["kept_epoch"] for p in summary["phases"]] == [p["epochs"] for p in summary["phases"]]
    assert "the epoch that comes last" in protocol_sentence(summary["protocol"])


def test_without_a_validation_split_the_summary_says_so(recipe, tmp_path):
    summary = json.loads((train(recipe, tmp_path / "run") / "summary.json").read_text())
    assert "without a validation split" in protocol_sentence(summary["protocol"])
    assert "kept_epoch" not in summary["phases"][0]


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("at", ["phase00-epoch00003", "phase01-epoch00002", "phase02-epoch00001"])
def test_a_resumed_run_keeps_the_same_epochs(held, tmp_path, interrupt_when, ema, at):
    values = held.model_dump()
    values["phases"][1]["ema"] = ema
    wanted = Recipe.model_validate(values)
    whole = train(wanted, tmp_path / "whole")
    folder = tmp_path / "broken"
    interrupt_when(folder / "checkpoints" / f"{at}.json")
    with pytest.raises(KeyboardInterrupt):
        train(wanted, folder)
    train(wanted, folder, resume=True)
    assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()


def test_a_phase_ends_early_when_nothing_gets_better(held, tmp_path, interrupt_when):
    values = held.model_dump()
    values["phases"][0].update(epochs=40, patience=2)
    wanted = Recipe.model_validate(values)
    folder = train(wanted, tmp_path / "run")
    rows = [row for row in read_metrics(folder) if row.phase_index == 0]
    assert len(rows) < 40
    assert rows[-1].epoch - rows[-1].kept_epoch == 2
    first = json.loads((folder / "summary.json").read_text())["phases"][0]
    assert first["epochs"] == len(rows)
    # A run that was stopped just after the early end goes on with the next phase.
    broken = tmp_path / "broken"
    interrupt_when(broken / "checkpoints" / f"phase00-epoch{len(rows):05}.json")
    with pytest.raises(KeyboardInterrupt):
        train(wanted, broken)
    train(wanted, broken, resume=True)
    assert (broken / MODEL).read_bytes() == (folder / MODEL).read_bytes()


def test_a_run_that_starts_from_one_with_an_early_end_takes_the_whole_phase(held, tmp_path):
    values = held.model_dump()
    values["phases"][0].update(epochs=40, patience=2)
    folder = train(Recipe.model_validate(values), tmp_path / "run")
    values["phases"][1]["lipschitz"] = 1e-7
    other = Recipe.model_validate(values)
    fresh = train(other, tmp_path / "fresh")
    warm = train(other, tmp_path / "warm", warm_start=folder)
    assert (warm / MODEL).read_bytes() == (fresh / MODEL).read_bytes()


def test_the_best_epoch_is_read_back_from_a_checkpoint_or_its_lack_is_told():
    network = nn.Linear(2, 2)
    best = BestEpoch(network)
    best.see(1, Score(0.5))
    best.see(2, Score(0.25))
    tensors = best.tensors()
    network.weight.data.zero_()
    other = BestEpoch(network)
    other.restore(tensors)
    other.give()
    assert other.epoch == 1
    assert network.weight.abs().sum() > 0
    del tensors["best/weight"]
    with pytest.raises(KeyError):
        other.restore(tensors)


def test_of_two_equal_epochs_the_later_is_kept_and_masks_count_by_overlap():
    best = BestEpoch(nn.Linear(2, 2), patience=2)
    for epoch, (accuracy, miou) in enumerate([(0.9, 0.3), (0.5, 0.4), (0.6, 0.4), (1.0, 0.1)], 1):
        best.see(epoch, Score(accuracy, miou))
    assert best.epoch == 3
    assert not best.waited_enough(4)
    assert best.waited_enough(5)


def test_waiting_for_a_better_epoch_needs_a_validation_split(tmp_path, held):
    text = "name: x\nnetwork: {type: fcdnn}\nphases:\n" + "".join(
        f"  - {{name: {kind}, kind: {kind}, epochs: 3{more}}}\n"
        for kind, more in (("pretrain", ", patience: 2"), ("retrain", ""))
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match="`pretrain` has `patience`, but there is no validation"):
        load_recipe(path)
    assert load_recipe(path, ["data.validation=0.1"]).phases[0].patience == 2


def test_a_split_that_is_too_small_is_refused_before_the_run_folder_is_made(held, tmp_path):
    values = held.model_dump()
    values["data"]["validation"] = 0.001
    with pytest.raises(DataError, match="is nothing of the"):
        train(Recipe.model_validate(values), tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.yaml").exists()
