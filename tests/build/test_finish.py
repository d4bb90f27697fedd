"""What is made of a finished build is in its folder before that takes its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_files import SmallNetwork

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.verify.ladder import RUNGS


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(
        SmallNetwork().save(tmp_path / "small.onnx"),
        frames=4,
        rtl_frames=2,
        synthesis=False,
        fifo_depths="analytic",
        skip=tuple(name for name in RUNGS if name != "int"),
    )


def test_a_report_comes_with_the_build_or_neither_does(options: Options, tmp_path: Path) -> None:
    out, seen = tmp_path / "build", []

    def report(folder: Path) -> None:
        seen.append((folder / "build.json").is_file() and not out.exists())
        (folder / "report.html").write_text("report")

    build(options, out, finish=report)
    assert seen == [True]
    assert (out / "report.html").read_text() == "report"


def test_where_the_report_fails_the_build_before_it_stays(options: Options, tmp_path: Path) -> None:
    out = tmp_path / "build"
    build(options, out, finish=lambda folder: (folder / "report.html").write_text("first"))

    def broken(folder: Path) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        build(options, out, finish=broken)
    assert (out / "report.html").read_text() == "first"
