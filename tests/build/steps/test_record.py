"""What a build takes over of the run it was made of, for its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import train_tiny

from qdeploy.build.build import build
from qdeploy.build.digests import check_files
from qdeploy.build.observer import BuildObserver
from qdeploy.build.options import ANALYTIC, Options
from qdeploy.build.source import open_source
from qdeploy.build_folder import read_metrics, read_weights
from qdeploy.verify.ladder import RUNGS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("runs") / "tiny")


def test_the_build_has_the_curves_and_the_weights_of_its_run(run: Path, tmp_path: Path) -> None:
    skip = tuple(name for name in RUNGS if name != "int")
    options = Options(run, frames=8, synthesis=False, fifo_depths=ANALYTIC, skip=skip)
    build(options, tmp_path / "build")
    log = read_metrics(tmp_path / "build")
    assert log == read_metrics(run) and log
    weights = read_weights(tmp_path / "build")
    assert weights is not None and len(weights["layers"]) > 1
    found = check_files(tmp_path / "build")
    files = json.loads((tmp_path / "build" / "build.json").read_text())["files"]
    assert not found.wrong and {"metrics.jsonl", "weights.json"} <= files.keys()


def test_damaged_curves_of_a_run_are_left_out_and_named(run: Path) -> None:
    path, notes = run / "metrics.jsonl", list[str]()
    text = path.read_text()
    path.write_text(text + "{")
    try:
        source = open_source(run, None, BuildObserver(note=notes.append))
    finally:
        path.write_text(text)
    assert source.metrics_text is None
    (note,) = [one for one in notes if "training curves" in one]
    assert "metrics.jsonl" in note
