"""`qdeploy verify` on a build that was tampered with, and where there is nothing to verify."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bad_files import SmallNetwork

from qdeploy.build import reverify
from qdeploy.build.build import build
from qdeploy.build.digests import take_digests
from qdeploy.build.observer import BuildObserver
from qdeploy.build.options import Options
from qdeploy.build.reverify import verify
from qdeploy.build_folder import BUILD_FILE, GRAPH_FILE, HARDWARE_FILE, INT_FILE, QONNX_FILE
from qdeploy.errors import UserError, VerificationError
from qdeploy.ir.file import read_graph
from qdeploy.self_digest import with_digest
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
    with pytest.raises(VerificationError, match=f"`{name}` of the build .* {fate}") as caught:
        verify(built, skip=RUNGS)
    assert caught.value.where == str(built / name)


def test_a_build_made_before_integer_graphs_were_files_is_still_verified(built: Path) -> None:
    record = json.loads((built / BUILD_FILE).read_text())
    kept = (QONNX_FILE, INT_FILE, HARDWARE_FILE)
    record["files"] = {name: record["files"][name] for name in kept}
    for key in ("source", "digest", "frames_kept"):
        del record[key]
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


def _flip(path: Path) -> None:
    """One digit of a text file is another one."""
    text = path.read_text(encoding="utf-8")
    at = next(i for i, letter in enumerate(text) if letter in "0123456789")
    path.write_text(text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :], "utf-8")


def test_every_file_of_the_build_has_a_digest(built: Path) -> None:
    record = json.loads((built / BUILD_FILE).read_text())
    there = {p.relative_to(built).as_posix() for p in built.rglob("*") if p.is_file()}
    rewritten = {BUILD_FILE, "verify.json", "report.html"}
    assert set(record["files"]) == there - rewritten


@pytest.mark.parametrize("where", ["rtl/*.hex", "rtl/*_top.v", "package/rtl/*.hex", "package/*.md"])
def test_a_changed_file_of_hardware_or_package_fails_by_name_and_the_ladder_still_runs(
    where: str, built: Path
) -> None:
    path = sorted(built.glob(where))[0]
    _flip(path)
    result = verify(built, skip=ONLY_INT)
    assert [rung.name for rung in result.rungs if rung.skipped is None] == ["int"]
    assert isinstance(result.failure, VerificationError)
    name = path.relative_to(built).as_posix()
    assert f"`{name}`" in result.failure.what and "has changed since" in result.failure.what
    record = json.loads((built / "verify.json").read_text())
    assert record["passed"] is False and record["files"]["wrong"] == {name: "has changed since"}


def test_hardware_that_the_build_did_not_make_is_named(built: Path) -> None:
    (built / "rtl/more.v").write_text("module more(); endmodule\n", encoding="utf-8")
    result = verify(built, skip=ONLY_INT)
    assert result.failure is not None and "`rtl/more.v`" in str(result.failure)


def test_edited_options_are_noticed(built: Path) -> None:
    record = json.loads((built / BUILD_FILE).read_text())
    record["options"]["frames"] = 3
    (built / BUILD_FILE).write_text(json.dumps(record))
    with pytest.raises(VerificationError, match=f"`{BUILD_FILE}` of the build .* has changed"):
        verify(built, skip=ONLY_INT)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda codes: 0 * codes, "every code of its frames is zero"),
        (lambda codes: codes[:5], "it holds 5 frames, the build was verified with 12"),
    ],
    ids=["zeroed", "cut"],
)
def test_other_frames_are_named(
    change: Callable[[np.ndarray], np.ndarray], told: str, built: Path
) -> None:
    with np.load(built / "frames.npz") as data:
        arrays = dict(data)
    arrays["codes"] = change(arrays["codes"])
    np.savez_compressed(built / "frames.npz", **arrays)
    with pytest.raises(VerificationError, match=r"`frames\.npz` of the build") as caught:
        verify(built, skip=ONLY_INT)
    assert told in str(caught.value)


def test_the_package_is_that_of_the_build(built: Path) -> None:
    assert verify(built, skip=ONLY_INT, package=True).failure is None
    record = json.loads((built / "verify.json").read_text())
    assert record["package"] == {"problems": []}


def _edit_bundle(package: Path) -> None:
    path = package / "bundle.json"
    bundle = json.loads(path.read_text())
    bundle["input"]["shift"] = 3
    path.write_text(json.dumps(with_digest(bundle)))


def _other_golden(package: Path) -> None:
    path = package / "golden/golden.npz"
    with np.load(path) as data:
        arrays = dict(data)
    arrays["outputs"][0, 0] += 1
    np.savez_compressed(path, **arrays)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_edit_bundle, "`package/bundle.json` has another `input`"),
        (_other_golden, "`package/golden/golden.npz` has other `outputs`"),
        (lambda package: (package / "driver/packing.py").unlink(), "packing.py` is missing"),
        (lambda package: (package / "driver/x.py").touch(), "x.py` does not belong to it"),
    ],
)
def test_a_package_of_something_else_is_found_even_where_digests_were_made_to_match(
    change: Callable[[Path], object], told: str, built: Path
) -> None:
    change(built / "package")
    record = json.loads((built / BUILD_FILE).read_text())
    record["files"] = take_digests(built)
    (built / BUILD_FILE).write_text(json.dumps(with_digest(record)))
    assert verify(built, skip=ONLY_INT).failure is None
    failure = verify(built, skip=ONLY_INT, package=True).failure
    assert isinstance(failure, VerificationError) and told in failure.what
    assert json.loads((built / "verify.json").read_text())["passed"] is False
