"""What a build replaces, and that one process at a time writes a build folder."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from bad_files import SmallNetwork
from tiny_runs import train_tiny

from qdeploy import __version__, provenance
from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.replace import check_replaceable, locked_build
from qdeploy.build.reverify import verify
from qdeploy.build.source import open_source
from qdeploy.build_folder import BUILD_FILE, RECIPE_FILE
from qdeploy.errors import LockedError, UserError


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
    record = {"options": Options(source).record(), "source": known, **provenance.record()}
    (folder / BUILD_FILE).write_text(json.dumps(record))
    return folder


def check(folder: Path, source: Path, force: bool = False) -> None:
    check_replaceable(folder, source, open_source(source, None), force)


def test_a_build_of_another_run_is_replaced_by_force_only(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    folder = built(tmp_path / "build", runs["one"])
    check(folder, runs["one"])
    with pytest.raises(UserError, match="holds a build of") as caught:
        check(folder, runs["two"])
    assert all(str(run.resolve()) in caught.value.what for run in runs.values())
    digests = [open_source(runs[run], None).files for run in ("two", "one")]
    for name in ("recipe.yaml", "model.safetensors"):
        here, there = (files[name][:12] for files in digests)
        assert f"{name} has the digest {here}…, its was {there}…" in (caught.value.why or "")
    assert f"qdeploy {__version__} at " in (caught.value.why or "")
    assert "made it" in (caught.value.why or "")
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
    with pytest.raises(UserError, match="holds a build of"):
        check(folder, runs["two"])


def test_a_build_whose_record_is_damaged_is_replaced_by_force_only(tmp_path: Path) -> None:
    file = SmallNetwork().save(tmp_path / "small.onnx")
    folder = built(tmp_path / "build", file)
    (folder / BUILD_FILE).write_text("{")
    with pytest.raises(UserError, match=r"`build\.json` cannot be read"):
        check(folder, file)
    check(folder, file, force=True)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"options": {}, "source": {"files": 5}},
        {"options": {"source": 7}, "source": {"files": {"a.onnx": 7}, "recipe_sha256": []}},
        {"source": {"files": ["a.onnx"]}, "versions": {}, "git": None},
    ],
)
def test_a_record_that_says_nothing_of_its_source_is_another_source(
    record: object, tmp_path: Path
) -> None:
    file = SmallNetwork().save(tmp_path / "small.onnx")
    folder = built(tmp_path / "build", file)
    (folder / BUILD_FILE).write_text(json.dumps(record))
    with pytest.raises(UserError, match="holds a build of") as caught:
        check(folder, file)
    assert "qdeploy made it" in (caught.value.why or "")


def test_a_file_that_was_written_again_replaces_its_build_with_a_note(tmp_path: Path) -> None:
    notes: list[str] = []
    file = SmallNetwork().save(tmp_path / "small.onnx")
    folder = built(tmp_path / "build", file)
    check_replaceable(folder, file, open_source(file, None), False, notes.append)
    assert notes == []
    other = SmallNetwork()
    other.constants["weights"] = -other.constants["weights"]
    other.save(file)
    check_replaceable(folder, file, open_source(file, None), False, notes.append)
    assert notes == [f"note: `{file}` has changed since the build that is replaced"]


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


def test_a_build_that_a_kill_left_between_two_names_is_asked_for_too(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    built(tmp_path / "build", runs["one"]).rename(tmp_path / ".build.qdeploy-0123456789ab.old")
    with pytest.raises(UserError, match="holds a build of"):
        check(tmp_path / "build", runs["two"])
    assert [path.name for path in tmp_path.iterdir()] == ["build"]


def test_a_build_whose_surroundings_cannot_be_written_is_verified_without_a_lock() -> None:
    with tempfile.TemporaryDirectory() as name:
        around = Path(name)
        (around / "build").mkdir(mode=0o755)
        around.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            with locked_build(around / "build", "verify"):
                assert [path.name for path in around.iterdir()] == ["build"]
        finally:
            os.seteuid(user)
            around.chmod(0o700)


def test_the_lock_of_a_folder_and_of_a_link_to_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "link").symlink_to("build")
    with (
        locked_build(tmp_path / "build", "export"),
        pytest.raises(LockedError),
        locked_build(tmp_path / "link", "verify"),
    ):
        pass


@pytest.mark.parametrize("place", ["here", "/proc/none"])
def test_what_is_no_build_is_refused_by_verify_without_a_trace(place: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no complete build"):
        verify(tmp_path / place / "build")
    assert list(tmp_path.iterdir()) == []


def test_the_recipe_in_a_build_is_the_one_that_was_read(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    run = shutil.copytree(runs["one"], tmp_path / "run")
    source = open_source(run, None)
    (run / RECIPE_FILE).write_text("name: other\n")
    assert source.recipe_text == (runs["one"] / RECIPE_FILE).read_text()
