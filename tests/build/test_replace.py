"""What a build replaces, and that one process at a time writes a build folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from bad_files import SmallNetwork
from tiny_runs import train_tiny

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.replace import check_replaceable, locked_build
from qdeploy.build.reverify import verify
from qdeploy.build.source import open_source
from qdeploy.build_folder import BUILD_FILE, RECIPE_FILE
from qdeploy.cli.main import qdeploy
from qdeploy.cli.main import run as call
from qdeploy.errors import LockedError, UserError
from qdeploy.verify.ladder import RUNGS


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {
        "one": train_tiny(folder / "one", "training.epochs=1"),
        "two": train_tiny(folder / "two", "training.epochs=1", "seed=1"),
    }


def built(folder: Path, source: Path) -> Path:
    """A folder with the record of a build of `source`."""
    folder.mkdir(exist_ok=True)
    opened = open_source(source, None)
    known = {"files": dict(opened.files), "recipe_sha256": opened.recipe_sha256}
    record = {"options": Options(source).record(), "source": known}
    (folder / BUILD_FILE).write_text(json.dumps(record))
    return folder


def check(folder: Path, source: Path, force: bool = False) -> None:
    check_replaceable(folder, source, open_source(source, None), force)


def test_a_build_of_another_run_is_replaced_by_force_only(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    folder = built(tmp_path / "build", runs["one"])
    check(folder, runs["one"])
    with pytest.raises(UserError, match="holds a build of another source") as caught:
        check(folder, runs["two"])
    assert all(str(run.resolve()) in caught.value.what for run in runs.values())
    assert "recipe.yaml: " in (caught.value.why or "")
    assert "model.safetensors: " in (caught.value.why or "")
    assert "--force" in (caught.value.do or "")
    check(folder, runs["two"], force=True)


def test_a_run_of_the_same_path_with_another_recipe_is_another_source(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    run = shutil.copytree(runs["one"], tmp_path / "run")
    folder = built(tmp_path / "build", run)
    shutil.rmtree(run)
    shutil.copytree(runs["two"], run)
    with pytest.raises(UserError, match="a build of another recipe of the run"):
        check(folder, run)


def test_the_same_network_from_another_path_and_a_build_of_before_are_the_same_source(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    folder = built(tmp_path / "build", runs["one"])
    check(folder, shutil.copytree(runs["one"], tmp_path / "moved"))
    record = json.loads((folder / BUILD_FILE).read_text())
    del record["source"]
    (folder / BUILD_FILE).write_text(json.dumps(record))
    check(folder, runs["one"])
    with pytest.raises(UserError, match="another source"):
        check(folder, runs["two"])


def test_a_build_whose_record_is_damaged_is_replaced_by_force_only(tmp_path: Path) -> None:
    file = SmallNetwork().save(tmp_path / "small.onnx")
    folder = built(tmp_path / "build", file)
    (folder / BUILD_FILE).write_text("{")
    with pytest.raises(UserError, match=r"`build\.json` cannot be read"):
        check(folder, file)
    check(folder, file, force=True)


def test_export_refuses_the_folder_of_another_file_before_it_builds_and_force_replaces_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = SmallNetwork().save(tmp_path / "one.onnx")
    other = SmallNetwork()
    other.constants["weights"] = -other.constants["weights"]
    two = other.save(tmp_path / "two.onnx")
    folder = built(tmp_path / "build", one)
    before = (folder / BUILD_FILE).read_text()
    assert call(qdeploy, ["export", str(two), "--out", str(folder)]) == 2
    shown = capsys.readouterr()
    assert "another source" in shown.err and "FINN" not in shown.out
    assert (folder / BUILD_FILE).read_text() == before
    quick = Options(two, frames=4, synthesis=False, fifo_depths="analytic", skip=RUNGS)
    build(quick, folder, force=True)
    record = json.loads((folder / BUILD_FILE).read_text())
    assert record["source"]["files"] == open_source(two, None).files
    assert sorted(path.name for path in tmp_path.iterdir() if ".lock" in path.name) == []


def test_a_folder_that_another_process_writes_is_refused_by_export_and_verify(
    tmp_path: Path,
) -> None:
    file = SmallNetwork().save(tmp_path / "small.onnx")
    folder = built(tmp_path / "build", file)
    with locked_build(folder, "export"):
        with pytest.raises(LockedError, match=f"`qdeploy export`, process {os.getpid()} on"):
            build(Options(file), folder)
        with pytest.raises(LockedError, match="the build folder"):
            verify(folder)
    assert not (tmp_path / ".build.lock").exists()


def test_the_recipe_in_a_build_is_the_one_that_was_read(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    run = shutil.copytree(runs["one"], tmp_path / "run")
    source = open_source(run, None)
    (run / RECIPE_FILE).write_text("name: other\n")
    assert source.recipe_text == (runs["one"] / RECIPE_FILE).read_text()
