"""Export and verify where every path has characters that mean something to the tools."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from random_qonnx import QonnxMaker, Weights

ROOT = str(Path(__file__).resolve().parents[2])
ODD = "a b;c#d:e$(touch x)f\ng'h\"i`j\\k*l?m%n&o|p!q~r{s}t[u]$HOME é"


def qdeploy(*words: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qdeploy", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ROOT, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_build_is_made_and_verified_with_all_tools_in_such_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    maker = QonnxMaker(8, (6,))
    maker.dense(4, Weights(2)).norm().relu().act(2).dense(3, Weights(3))
    source = maker.save(folder / f"net {ODD}.onnx")
    out = folder / f"out {ODD}"
    options = ("--frames", "8", "--rtl-frames", "2", "--fps", "100000")
    qdeploy("export", str(source), "--out", str(out), *options, folder=folder)
    qdeploy("verify", str(out), folder=folder)
    qdeploy("report", str(out), folder=folder)
    assert (out / "package" / "bundle.json").is_file()
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [".cache", source.name, out.name]
    )
    assert [path.name for path in tmp_path.iterdir()] == [ODD]
