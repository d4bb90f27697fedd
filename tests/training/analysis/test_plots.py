"""The pictures of an analysis get their names together with its figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_runs import train_tiny

from qdeploy.observer import SILENT
from qdeploy.training.analysis.plots import Report, plotted
from qdeploy.training.analysis.report import Settings, analyze
from qdeploy.training.run import PICTURES, load_run


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    run = load_run(train_tiny(tmp_path_factory.mktemp("plots") / "run"))
    settings = Settings(frames=16, loss_frames=16, directions=2)
    return analyze(run, run.dataset(), settings, SILENT)


def test_no_picture_is_there_before_the_block_ends(report: Report, tmp_path: Path) -> None:
    with plotted([report], tmp_path) as paths:
        assert [path.name for path in paths] == [Path(name).name for name in PICTURES]
        assert not any(path.exists() for path in paths)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_an_error_leaves_no_picture(report: Report, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), plotted([report], tmp_path):
        raise OSError("full")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
