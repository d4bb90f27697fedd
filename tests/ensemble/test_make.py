"""Ensembles of trained runs: what they compute, what is written of them, and read back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import ensembles
import numpy as np
import pytest
import torch

from qdeploy.data.load import load_dataset
from qdeploy.ensemble.compose import compose, gains_of, integers_of
from qdeploy.ensemble.folder import TrainedEnsemble, load_ensemble
from qdeploy.ensemble.make import make_ensemble, vote_of
from qdeploy.ensemble.vote import short_fraction
from qdeploy.errors import CheckpointError, UserError
from qdeploy.ir.reference import run_reference
from qdeploy.training.run import MODEL, load_run
from qdeploy.training.train import train

Trained = Callable[..., Path]


@pytest.fixture(scope="module")
def made(pair: list[Path], tmp_path_factory: pytest.TempPathFactory) -> TrainedEnsemble:
    return make_ensemble(pair, tmp_path_factory.mktemp("made") / "pair")


@pytest.fixture
def folder(made: TrainedEnsemble, tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(made.folder, tmp_path / "pair")


@pytest.mark.parametrize(
    ("families", "bits"),
    [(("mlp", "deep-mlp"), 5), (("convnet", "resnet"), 8), (("mlp",) * 4, 3)],
)
def test_the_integers_are_the_sum_of_the_members_rounded_fractions(
    families: tuple[str, ...], bits: int
) -> None:
    networks = [ensembles.member(family, seed) for seed, family in enumerate(families)]
    graphs = [integers_of(network, "member") for network in networks]
    vote, grid = vote_of(networks, graphs, ensembles.inputs(), bits)
    whole = compose(networks, vote.factors, vote.bits, vote.step, vote.rank)
    graph = integers_of(whole, "ensemble")
    codes = (ensembles.frames().numpy() >> 4).astype(np.int64)
    expected = 0
    for one in graphs:
        sums = run_reference(one, codes)[one.logits]
        ratio = short_fraction(gains_of(one)[0] / Fraction(vote.step))
        rounded = np.floor_divide(
            2 * ratio.numerator * sums + ratio.denominator, 2 * ratio.denominator
        )
        expected = expected + np.clip(rounded, -grid.top, grid.top)
    found = run_reference(graph, codes)[graph.logits]
    assert np.array_equal(found, expected)
    assert len(np.unique(found)) > 3
    assert graph.head.scale == Fraction(vote.step)
    with torch.no_grad():
        values = whole(ensembles.inputs()).numpy()
    assert np.array_equal(values, (found * vote.step).astype(np.float32))


def test_the_accuracy_is_that_of_the_sum_of_votes(made: TrainedEnsemble) -> None:
    data = load_dataset("digits")
    images = (data.test_images >> 4).float() / 16
    with torch.no_grad():
        right = (made.network(images).argmax(1) == data.test_labels).float().mean()
    assert made.summary["accuracy"] == pytest.approx(float(right), abs=1e-6)


def test_the_summary_names_the_members_and_what_they_reach(
    made: TrainedEnsemble, pair: list[Path]
) -> None:
    runs = [load_run(folder) for folder in pair]
    assert [one["run"] for one in made.summary["members"]] == [str(one) for one in pair]
    for one, run in zip(made.summary["members"], runs, strict=True):
        assert one["seed"] == 0 and one["files"] == run.files
        assert one["recipe_sha256"] == run.recipe_sha256
        assert one["accuracy"] == run.summary["accuracy"]
    rows = made.summary["phases"]
    assert [row["name"] for row in rows] == ["member 1", "member 2", "vote"]
    assert rows[-1]["accuracy"] == made.summary["accuracy"]
    assert json.loads((made.folder / "summary.json").read_text()) == made.summary


def test_members_of_one_split_are_compared_on_their_validation_images(
    made: TrainedEnsemble, pair: list[Path]
) -> None:
    held = load_run(pair[0]).summary["protocol"]["images"]["validation"]
    assert made.summary["images"]["validation"] == held
    for row, run in zip(made.summary["phases"], pair, strict=False):
        assert (
            row["validation_accuracy"] == load_run(run).summary["phases"][-1]["validation_accuracy"]
        )
    assert "validation_accuracy" in made.summary["phases"][-1]


def test_images_that_one_member_was_trained_on_validate_nothing(
    trained: Trained, tmp_path: Path
) -> None:
    other = make_ensemble([trained(), trained("seed=1")], tmp_path / "seeds")
    assert "validation" not in other.summary["images"]
    assert all("validation_accuracy" not in row for row in other.summary["phases"])


def test_an_ensemble_is_the_same_without_the_runs_it_was_made_of(
    made: TrainedEnsemble, folder: Path
) -> None:
    again = load_ensemble(folder)
    images = torch.rand(20, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(again.network(images), made.network(images))
    assert again.files == made.files and again.recipe_sha256 == made.recipe_sha256


@pytest.mark.parametrize("file", ["ensemble.json", f"members/2/{MODEL}", "members/1/recipe.yaml"])
def test_a_changed_file_is_named(folder: Path, file: str) -> None:
    path = folder / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(CheckpointError) as caught:
        load_ensemble(folder)
    assert path.name in caught.value.what


def test_members_that_changed_places_are_not_taken(folder: Path) -> None:
    members = folder / "members"
    (members / "1").rename(members / "3")
    (members / "2").rename(members / "1")
    (members / "3").rename(members / "2")
    with pytest.raises(CheckpointError, match="was changed"):
        load_ensemble(folder)


@pytest.mark.parametrize("file", ["summary.json", "members/1/summary.json", "members/2/model.json"])
def test_a_missing_file_is_an_error_for_people(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(CheckpointError):
        load_ensemble(folder)


def test_what_is_no_ensemble_is_not_replaced(pair: list[Path], tmp_path: Path) -> None:
    copy = shutil.copytree(pair[0], tmp_path / "run")
    with pytest.raises(UserError, match="is not an ensemble"):
        make_ensemble(pair, copy, force=True)
    assert load_run(copy)


def test_an_ensemble_is_replaced_with_force_only(
    pair: list[Path], folder: Path, made: TrainedEnsemble
) -> None:
    with pytest.raises(UserError, match="--force"):
        make_ensemble(pair, folder)
    again = make_ensemble(pair[::-1], folder, bits=6, force=True)
    assert again.summary["vote"]["bits"] == 6
    assert again.files != made.files


def test_nothing_is_trained_into_an_ensemble(folder: Path, pair: list[Path]) -> None:
    for force in (False, True):
        with pytest.raises(CheckpointError, match="holds an ensemble"):
            train(load_run(pair[0]).recipe, folder, force=force)
    assert load_ensemble(folder)


def test_an_ensemble_is_no_member(pair: list[Path], made: TrainedEnsemble, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds an ensemble of runs, not a run"):
        make_ensemble([*pair, made.folder], tmp_path / "out")
