"""The wheel: it carries the recipes, the hardware and the package templates, and finds them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import qdeploy

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
    assert "Requires-Python: <3.12,>=3.11" in metadata
    assert (info / "licenses" / "LICENSE").is_file()
