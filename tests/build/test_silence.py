"""A build called from a program shows nothing: it reports through the observer handed in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bad_files import SmallNetwork

from qdeploy.build.build import build
from qdeploy.build.observer import BuildObserver
from qdeploy.build.options import Options
from qdeploy.build.reverify import verify

SCRIPT = """
import sys
from pathlib import Path
from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.reverify import verify
folder = Path(sys.argv[1])
build(Options(folder / "small.onnx", frames=12, rtl_frames=4, fps=100_000), folder / "build")
verify(folder / "build", skip=("layer", "netlist layer", "netlist"))
"""


@pytest.mark.slow
def test_build_and_verify_in_a_process_of_their_own_write_nothing(tmp_path: Path) -> None:
    SmallNetwork().save(tmp_path / "small.onnx")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_an_observer_hears_what_nobody_prints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = SmallNetwork().save(tmp_path / "small.onnx")
    heard: list[str] = []
    observer = BuildObserver(
        note=heard.append,
        stage=lambda name: heard.append(f"begins: {name}"),
        done=lambda name, _seconds, result: heard.append(f"{name}: {result}"),
        rung=lambda result: heard.append(f"rung {result.name}"),
    )
    options = Options(
        file, frames=12, synthesis=False, skip=("layer", "rtl", "netlist layer", "netlist")
    )
    build(options, tmp_path / "build", observer)
    verify(tmp_path / "build", skip=("layer", "rtl", "netlist layer", "netlist"), observer=observer)
    assert capfd.readouterr() == ("", "")
    assert heard[:2] == ["begins: read the network", "read the network: QONNX file `small.onnx`"]
    assert heard.count("rung int") == 2
    assert "read the build: " in heard
