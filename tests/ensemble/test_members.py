"""Runs that do not go together are refused, before anything is measured or written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hand_made_graphs import block, dense_graph

from qdeploy.ensemble.compose import check_outputs
from qdeploy.ensemble.make import make_ensemble
from qdeploy.ensemble.members import check_same_task, read_members
from qdeploy.errors import CheckpointError, QDeployError, UserError
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.training.run import MODEL, Run

Trained = Callable[..., Path]


def refused(folders: list[Path], kind: type[QDeployError] = UserError) -> str:
    with pytest.raises(kind) as caught:
        read_members(folders)
    assert caught.value.exit_code == 2
    return caught.value.render()


def test_one_run_is_no_ensemble(trained: Trained) -> None:
    assert "an ensemble of 1 run\n" in refused([trained()])


def test_five_runs_are_too_many(trained: Trained) -> None:
    assert "an ensemble of 5 runs" in refused([trained()] * 5)


def test_the_same_run_has_one_vote(trained: Trained, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(trained(), target_is_directory=True)
    assert "is a member already" in refused([trained(), link])


def test_a_copy_of_a_run_has_none(pair: list[Path], tmp_path: Path) -> None:
    copy = shutil.copytree(pair[0], tmp_path / "copy")
    assert "has the same weights, bit for bit" in refused([*pair, copy])


def test_an_unfinished_run_is_named(trained: Trained, tmp_path: Path) -> None:
    copy = shutil.copytree(trained(), tmp_path / "copy")
    (copy / "summary.json").unlink()
    assert f"the run in `{copy}` is not finished" in refused([trained(), copy], CheckpointError)


def test_a_damaged_run_is_named(pair: list[Path], tmp_path: Path) -> None:
    copy = shutil.copytree(pair[0], tmp_path / "copy")
    file = copy / MODEL
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert MODEL in refused([pair[1], copy], CheckpointError)


def test_a_folder_without_a_run_is_named(trained: Trained, tmp_path: Path) -> None:
    assert f"`{tmp_path}` is not a run folder" in refused([trained(), tmp_path], CheckpointError)


@pytest.mark.parametrize("key", ["weight_bits", "activation_bits"])
def test_a_float_run_is_refused(trained: Trained, key: str) -> None:
    found = refused([trained(f"quantization.{key}=float"), trained()])
    assert f"quantization.{key}: float" in found


def test_other_input_codes_are_refused(trained: Trained) -> None:
    found = refused([trained(), trained("quantization.input_bits=3")])
    assert "input quantizer: 4 bits in" in found and "--set quantization.input_bits=4" in found


def test_other_data_sets_are_refused(trained: Trained) -> None:
    changes = ("data.name=synthetic2d", "data.validation=0")
    found = refused([trained(), trained(*changes)])
    assert "the members differ in their data set: `digits` in" in found


@pytest.mark.parametrize(
    ("key", "what", "values"),
    [
        ("image_size", "input shape", ("3x32x32", "3x64x64")),
        ("classes", "number of classes", ("5", "7")),
        ("partial", "`data.partial`", ("True", "False")),
    ],
)
def test_other_shapes_and_classes_are_refused(key: str, what: str, values: tuple[str, str]) -> None:
    given = {"image_size": (32, 64), "classes": (5, 7), "partial": ("true", "false")}[key]
    runs = []
    for number, value in enumerate(given):
        changes = ("data.name=imagenet", "data.augment=none", "data.image_size=32")
        recipe = load_recipe(
            resource("models/mnist/mnist_convnet_w2a2.yaml"), [*changes, f"data.{key}={value}"]
        )
        runs.append(Run(Path(f"run{number}"), recipe, "", {}, None, {}))  # type: ignore[arg-type]
    with pytest.raises(UserError) as caught:
        check_same_task(*runs)
    ours, theirs = values
    found = f"the members differ in their {what}: {ours} in `run0`, {theirs} in `run1`"
    assert found in caught.value.render()


def test_logits_of_other_shapes_are_refused() -> None:
    with pytest.raises(UserError, match=r"their logits: \(2, 2, 2\) in `a`, \(4,\) in `b`"):
        check_outputs([Path("a"), Path("b")], [block(), dense_graph(3)])


@pytest.mark.parametrize("bits", [2, 9])
def test_votes_of_other_widths_are_refused(bits: int, pair: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"votes of {bits} bits"):
        make_ensemble(pair, tmp_path / "out", bits=bits)
    assert not (tmp_path / "out").exists()
