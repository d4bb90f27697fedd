"""A target of another package that needs the integer graph and nothing else.

It is built in processes of their own, which have loaded nothing before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bad_files import SmallNetwork

from qdeploy.build_folder import GRAPH_FILE, QONNX_FILE
from qdeploy.cli.main import qdeploy, run
from qdeploy.ir.file import read_graph

ROOT = Path(__file__).parents[2]
TEXT_TARGET = ROOT / "tests/support/text_target"
# Rooms and packages of hardware, and torch, which only trained runs need.
UNNEEDED = ("qdeploy.dataflow", "qdeploy.sim", "qdeploy.synth", "finn", "ortools", "torch")

BUILD = """
import json, sys
from pathlib import Path
from qdeploy.build.build import build
from qdeploy.build.options import Options
result = build(Options(Path(sys.argv[1]), target="text"))
loaded = [name for name in sys.modules if any(f"{name}.".startswith(f"{one}.") for one in UNNEEDED)]
print(json.dumps({"folder": str(result.folder), "loaded": loaded}))
"""


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(ROOT), str(TEXT_TARGET)))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return SmallNetwork().save(tmp_path / "small.onnx")


def test_a_build_needs_no_board_folding_finn_or_rtl(network: Path, tmp_path: Path) -> None:
    done = python(tmp_path, "-c", BUILD.replace("UNNEEDED", repr(UNNEEDED)), str(network))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["folder"] == "build/small-text"
    assert found["loaded"] == []
    folder = tmp_path / "build/small-text"
    assert {path.name for path in folder.iterdir()} == {
        *(QONNX_FILE, GRAPH_FILE, "model.int.onnx", "package", "build.json")
    }
    lines = (folder / "package/graph.txt").read_text().splitlines()
    nodes = read_graph(folder / GRAPH_FILE).nodes
    assert [line.split()[0] for line in lines] == [type(node).__name__ for node in nodes]
    record = json.loads((folder / "build.json").read_text())
    assert (record["options"]["target"], record["options"]["board"]) == ("text", None)
    assert set(record["files"]) >= {QONNX_FILE, GRAPH_FILE, "model.int.onnx"}


def test_the_command_exports_for_it_and_shows_its_steps(network: Path, tmp_path: Path) -> None:
    command = ("-m", "qdeploy.cli.main", "export", str(network), "--target", "text")
    done = python(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("package for text"))
    assert line.endswith(" 7 lines")
    assert "Build folder: build/small-text" in done.stdout
    again = python(tmp_path, "-m", "qdeploy.cli.main", "verify", "build/small-text")
    assert again.returncode == 2
    assert "builds for the target `text` have no ladder to verify" in again.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--board", "pynq-z2"), "the target `text` has no use for --board"),
        (("--fps", "1000"), "the target `text` has no use for --fps"),
        (("--clock", "50"), "the target `text` has no use for --clock"),
        (("--folding", "folding.yaml"), "the target `text` has no use for --folding"),
        (("--no-synthesis",), "the target `text` has no use for --no-synthesis"),
        (("--fifo-depths", "analytic"), "the target `text` has no use for --fifo-depths"),
        (("--require", "rtl"), "rung `rtl` is required, and the target does not have it"),
    ],
)
def test_options_of_steps_it_does_not_have_are_refused(
    options: tuple[str, ...],
    message: str,
    network: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(TEXT_TARGET))
    out = network.parent / "out"
    words = ["export", str(network), "--target", "text", "--out", str(out), *options]
    assert run(qdeploy, words) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
