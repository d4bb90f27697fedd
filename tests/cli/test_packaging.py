"""The wheel: it carries the recipes, the hardware and the package templates, and finds them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import qdeploy
from qdeploy.cli import extras

ROOT = Path(qdeploy.__file__).resolve().parent.parent
FOLDERS = ("models", "hw", "export")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the content of a wheel made from this checkout, without network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("qdeploy-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.parametrize("folder", FOLDERS)
def test_wheel_holds_every_tracked_file_beside_the_package(unpacked: Path, folder: str) -> None:
    done = subprocess.run(
        ["git", "ls-files", folder], cwd=ROOT, check=True, capture_output=True, text=True
    )
    tracked = done.stdout.split()
    assert tracked
    missing = [name for name in tracked if not (unpacked / "qdeploy/_resources" / name).is_file()]
    assert missing == []


def test_resources_are_found_in_the_wheel_and_not_in_the_checkout(unpacked: Path) -> None:
    code = (
        "from qdeploy.resources import resource\n"
        f"for name in {FOLDERS!r}: print(resource(name))\n"
        "print(resource('hw/boards/pynq-z2.yaml'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=unpacked,
        check=True,
        capture_output=True,
        text=True,
    )
    inside = unpacked / "qdeploy" / "_resources"
    expected = [str(inside / name) for name in (*FOLDERS, "hw/boards/pynq-z2.yaml")]
    assert done.stdout.split() == expected


def test_wheel_installs_one_import_name_and_the_command(unpacked: Path) -> None:
    tops = {path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"}
    assert tops == {"qdeploy"}
    (info,) = unpacked.glob("*.dist-info")
    entry_points = (info / "entry_points.txt").read_text(encoding="utf-8")
    assert "qdeploy = qdeploy.cli.start:main" in entry_points


def test_wheel_declares_its_licence_and_python(unpacked: Path) -> None:
    (info,) = unpacked.glob("*.dist-info")
    metadata = (info / "METADATA").read_text(encoding="utf-8")
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: <3.14,>=3.11" in metadata
    assert (info / "licenses" / "LICENSE").is_file()


@pytest.mark.slow
def test_an_installed_wheel_trains_a_shipped_recipe_by_name(unpacked: Path, tmp_path: Path) -> None:
    phases = ("float", "retrain", "finetune")
    short = [word for phase in phases for word in ("--set", f"phases.{phase}.epochs=1")]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "qdeploy", "train", "quickstart/digits_fcdnn_w2a2"),
            *("--out", "run", "--set", "name=short", *short),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/summary.json").is_file()


EXTRAS_ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from qdeploy.cli.main import qdeploy, run
sys.exit(run(qdeploy, sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["recipes"], 0, "quickstart/digits_fcdnn_w2a2"),
        (["boards"], 0, "pynq-z2"),
        (["train", "quickstart/digits_fcdnn_w2a2", "--out", "run"], 2, '".[train]"'),
    ],
    ids=["recipes", "boards", "train"],
)
def test_the_base_installation_lists_and_names_the_extra_that_training_needs(
    unpacked: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    program = EXTRAS_ABSENT.format(names=sorted(extras._OF_EXTRAS))
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_every_package_of_an_extra_has_a_message_and_the_base_has_none(unpacked: Path) -> None:
    (info,) = unpacked.glob("*.dist-info")
    metadata = (info / "METADATA").read_text(encoding="utf-8")
    wanted = [
        Requirement(line.partition(": ")[2])
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist: ")
    ]
    own = {
        (one.name, extra)
        for one in wanted
        for extra in ("train", "fpga")
        if one.marker is not None and one.marker.evaluate({"extra": extra})
    }
    train = {name for name, extra in own if extra == "train"}
    known = {(package, extra) for package, extra, _ in extras._OF_EXTRAS.values()}
    assert {name for name, extra in known if extra == "train"} == train
    fpga = {name for name, extra in own if extra == "fpga"} - train - {"qdeploy"}
    assert {name for name, extra in known if extra == "fpga"} == fpga
    assert not {one.name for one in wanted if one.marker is None} & (train | fpga)
