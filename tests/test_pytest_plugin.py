"""The pytest plugin, in a pytest of its own: builds by content, exactness, rungs left out, cost."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from random_qonnx import QonnxMaker, Weights

import qdeploy

ROOT = Path(qdeploy.__file__).resolve().parent.parent
TESTS = """\
import pytest

OPTIONS = {"board": "pynq-z1", "fps": 20_000, "frames": 10, "synthesis": False,
           "fifo_depths": "analytic", "skip": ("qonnx", "memories", "layer", "rtl")}

def test_built_once(qdeploy_build, assert_bit_exact):
    build = qdeploy_build("net.onnx", **OPTIONS)
    assert qdeploy_build("net.onnx", **OPTIONS).folder == build.folder
    assert_bit_exact(build, rungs=("int", "dataflow"))

def test_rung_that_has_not_run(qdeploy_build, assert_bit_exact):
    with pytest.raises(pytest.fail.Exception, match="rung rtl has not run"):
        assert_bit_exact(qdeploy_build("net.onnx", **OPTIONS), rungs=("rtl",))

def test_changed_file(qdeploy_build, assert_bit_exact):
    build = qdeploy_build("net.onnx", **OPTIONS)
    path = build.folder / "folding.yaml"
    before = path.read_bytes()
    path.write_bytes(before + b"\\n")
    try:
        with pytest.raises(pytest.fail.Exception, match="`folding.yaml`"):
            assert_bit_exact(build)
    finally:
        path.write_bytes(before)

@pytest.mark.qdeploy_rung("netlist")
def test_slow():
    assert True
"""


def run_pytest(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:qdeploy",
            "-p",
            "qdeploy.pytest_plugin",
            "-rs",
            "-q",
            *words,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_builds_are_made_once_for_the_same_content(tmp_path: Path) -> None:
    def network(seed: int) -> None:
        maker = QonnxMaker(seed, (2, 6, 6))
        maker.conv(4, weights=Weights(2)).norm().relu().act(2)
        maker.pool_all().act(4).dense(3, Weights(3)).save(tmp_path / "net.onnx")

    network(5)
    (tmp_path / "test_it.py").write_text(TESTS)
    assert "4 passed" in run_pytest(tmp_path)
    found = sorted(tmp_path.glob(".pytest_cache/d/qdeploy/net-*/build.json"))
    assert len(found) == 1
    made = found[0].stat().st_mtime_ns
    said = run_pytest(tmp_path, "--qdeploy-skip", "netlist", "-k", "test_slow")
    assert "1 skipped" in said and "the rung `netlist` is left out" in said
    run_pytest(tmp_path, "-k", "built_once")
    assert found[0].stat().st_mtime_ns == made
    network(6)
    run_pytest(tmp_path, "-k", "built_once")
    assert len(list(tmp_path.glob(".pytest_cache/d/qdeploy/net-*/build.json"))) == 2


def test_a_project_that_uses_none_of_it_loads_none_of_it(tmp_path: Path) -> None:
    heavy = ("torch", "brevitas", "finn", "onnx", "numpy", "click", "pydantic")
    (tmp_path / "test_it.py").write_text(
        f"import sys\n\ndef test_it():\n    assert not set({heavy}) & set(sys.modules)\n"
    )
    run_pytest(tmp_path, "-p", "no:hypothesispytest", "-p", "no:timeout", "-p", "no:xdist")


def test_it_is_declared_as_a_plugin() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert data["project"]["entry-points"]["pytest11"] == {"qdeploy": "qdeploy.pytest_plugin"}
