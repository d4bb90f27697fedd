"""`qdeploy verify` on a build that was tampered with, and where there is nothing to verify."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_files import SmallNetwork

from qdeploy.build import reverify
from qdeploy.build.build import build
from qdeploy.build.observer import BuildObserver
from qdeploy.build.options import Options
from qdeploy.build.reverify import verify
from qdeploy.build_folder import BUILD_FILE, GRAPH_FILE, HARDWARE_FILE, INT_FILE, QONNX_FILE
from qdeploy.errors import UserError, VerificationError
from qdeploy.ir.file import read_graph
from qdeploy.verify.ladder import RUNGS

ONLY_INT = tuple(name for name in RUNGS if name != "int")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A build of 12 frames on which no rung ran, and what each of its stages said."""
    folder, said = tmp_path_factory.mktemp("unproven"), {}
    file = SmallNetwork().save(folder / "small.onnx")
    options = Options(file, frames=12, synthesis=False, fifo_depths="analytic", skip=RUNGS)
    watch = BuildObserver(done=lambda name, _, result: said.update({name: result}))
    assert build(options, folder / "build", watch).failure is None
    return folder / "build", said


@pytest.fixture
def built(made: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(made[0], tmp_path / "build")


def test_a_package_of_a_design_that_no_rung_ran_on_is_called_unproven(
    made: tuple[Path, dict[str, str]],
) -> None:
    folder, said = made
    assert "UNPROVEN" in said["package for pynq"]
    assert json.loads((folder / "verify.json").read_text())["passed"] is False


def test_verify_without_any_rung_fails_and_with_one_passes(built: Path) -> None:
    result = verify(built, skip=RUNGS)
    assert isinstance(result.failure, VerificationError)
    assert "no rung of the ladder ran" in result.failure.what
    assert json.loads((built / "verify.json").read_text())["passed"] is False
    assert verify(built, skip=ONLY_INT).failure is None
    assert json.loads((built / "verify.json").read_text())["passed"] is True


@pytest.mark.parametrize("name", [QONNX_FILE, GRAPH_FILE, INT_FILE, HARDWARE_FILE])
@pytest.mark.parametrize(
    ("damage", "fate"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "has changed since"),
        (Path.unlink, "is missing"),
    ],
    ids=["cut short", "missing"],
)
def test_a_file_that_is_not_the_one_that_was_made_is_named(
    name: str, damage: Callable[[Path], object], fate: str, built: Path
) -> None:
    damage(built / name)
    with pytest.raises(UserError, match=f"`{name}` of the build .* {fate}") as caught:
        verify(built, skip=RUNGS)
    assert caught.value.where == str(built / name)


def test_a_build_made_before_integer_graphs_were_files_is_still_verified(built: Path) -> None:
    record = json.loads((built / BUILD_FILE).read_text())
    del record["files"][GRAPH_FILE]
    (built / BUILD_FILE).write_text(json.dumps(record))
    (built / GRAPH_FILE).unlink()
    assert verify(built, skip=ONLY_INT).failure is None


def test_verify_reads_the_integer_graph_instead_of_lowering_again(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(reverify, "read_graph", lambda path: read.append(path) or read_graph(path))
    monkeypatch.setattr("qdeploy.lowering.integers.lower.lower", None)
    assert verify(built, skip=ONLY_INT).failure is None
    assert read == [built / GRAPH_FILE]


def test_more_frames_than_the_build_keeps_are_said_to_be_missing(built: Path) -> None:
    said: dict[str, str] = {}
    watch = BuildObserver(done=lambda name, _, result: said.update({name: result}))
    (rung,) = (
        rung
        for rung in verify(built, frames=500, skip=ONLY_INT, observer=watch).rungs
        if rung.skipped is None
    )
    assert rung.frames == 12
    assert said["read the build"].startswith("500 frames requested, using 12")
    verify(built, frames=12, skip=ONLY_INT, observer=watch)
    assert said["read the build"] == ""


def test_a_rung_that_does_not_exist_is_refused_before_the_build_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no rung `nope`"):
        verify(tmp_path / "nothing", require=("nope",))
