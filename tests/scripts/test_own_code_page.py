"""The page on one's own code: its example is written out and run as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import qdeploy

ROOT = Path(qdeploy.__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "own-code.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE, flags=re.DOTALL))
(COMMANDS,) = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example's folder, and the command on the path."""
    for name, text in FILES.items():
        path = tmp_path / "my-project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "my-project/my_sensor/__init__.py").touch()
    program = tmp_path / "bin" / "qdeploy"
    program.parent.mkdir()
    # Without the working folder on Python's path, as the installed command is.
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m qdeploy.cli.main "$@"\n')
    program.chmod(0o755)
    return tmp_path / "my-project"


def shell(project: Path, commands: str) -> subprocess.CompletedProcess[str]:
    found = f"{project.parent / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-e", "-c", commands],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": found},
        capture_output=True,
        text=True,
        check=False,
    )


def summary(project: Path, run: str = "sensor") -> Any:
    return json.loads((project / "runs" / run / "summary.json").read_text())


def test_the_layout_is_that_of_the_files() -> None:
    (layout,) = re.findall(r"```\nmy-project/\n(.*?)```", PAGE, flags=re.DOTALL)
    assert {line.strip() for line in layout.splitlines()} == {*FILES, "my_sensor/__init__.py"}


def test_the_example_trains(project: Path) -> None:
    done = shell(project, COMMANDS.partition("qdeploy export")[0])
    assert done.returncode == 0, done.stderr
    assert f"`my_sensor.data` is loaded from {project}/my_sensor/data.py" in done.stderr
    assert summary(project)["accuracy"] > 0.9
    refused = shell(project, "qdeploy train recipes/sensor.yaml --out runs/other")
    assert refused.returncode == 2
    assert "the module `my_sensor` is not loaded: nobody allowed it" in refused.stderr


def test_the_entry_points_are_names_for_the_same(project: Path) -> None:
    entries = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]
    info = project / "my_sensor-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-sensor\nVersion: 1.0\n")
    lines = [
        line
        for group, values in entries.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in values.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    recipe = project / "recipes" / "sensor.yaml"
    text = recipe.read_text()
    for name, value in (("sensor", "data:make_dataset"), ("sensor-net", "network:Sensor")):
        text = text.replace(f'"python:my_sensor.{value}"', name)
    text = text.replace('"python:my_sensor.loss:focal"', "focal")
    recipe.write_text(text)
    assert "python:" not in text
    path = f"export PYTHONPATH=$PYTHONPATH:{project}\n"
    done = shell(project, f"{path}qdeploy train recipes/sensor.yaml --set training.epochs=2")
    assert done.returncode == 0, done.stderr
    (run,) = [path.name for path in (project / "runs").iterdir()]
    assert summary(project, run)["phases"][1]["name"] == "retrain"


@pytest.mark.slow
def test_the_example_becomes_a_proven_package(project: Path) -> None:
    done = shell(project, COMMANDS)
    assert done.returncode == 0, done.stderr
    rungs = json.loads((project / "build/sensor-pynq-z2/verify.json").read_text())["rungs"]
    assert {rung["name"]: rung["mismatches"] for rung in rungs}["rtl"] == 0
