"""`qdeploy export --target ip`: a package that proves itself in another simulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ip_packages import simulate
from random_qonnx import QonnxMaker, Weights

QUICK = ("--skip", "netlist layer", "--skip", "netlist", "--no-synthesis")


def qdeploy(folder: Path, *arguments: str, seed: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qdeploy", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_an_export_passes_its_testbench_and_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    packages = []
    for seed in (1, 2):
        folder = tmp_path / f"place {seed}"
        folder.mkdir()
        maker = QonnxMaker(8, (12,))
        maker.dense(16, Weights(2)).norm().relu().act(2).dense(4, Weights(3))
        maker.save(folder / "net.onnx")
        done = qdeploy(
            folder,
            *("export", "net.onnx", "--target", "ip", "--frames", "8", "--rtl-frames", "4"),
            *QUICK,
            seed=seed,
        )
        assert done.returncode == 0, done.stderr
        packages.append(folder / "build/net-pynq-z2-ip/package")
    one, other = packages
    for path in sorted(one.rglob("*")):
        if path.is_file() and path.name != "bundle.json":  # says when it was made, and where
            assert path.read_bytes() == (other / path.relative_to(one)).read_bytes(), path
    # Without pauses the testbench fails where the latency is not the one measured in Verilator.
    done = simulate(one, "icarus", stall=0)
    assert done.returncode == 0, done.stdout + done.stderr
    bundle = json.loads((one / "bundle.json").read_text(encoding="utf-8"))
    expected = f"latency {bundle['latency_cycles']} cycles, interval {bundle['cycles_per_frame']} "
    assert expected in done.stdout

    build = str(one.parent)
    done = qdeploy(tmp_path, "verify", build, "--package", "--skip", "netlist")
    assert done.returncode == 0, done.stdout + done.stderr
    (one / "tb/golden_output.hex").write_text("00\n", encoding="utf-8")
    done = qdeploy(tmp_path, "verify", build, "--package", "--skip", "netlist", "--skip", "rtl")
    assert done.returncode == 1
    assert "tb/golden_output.hex" in done.stderr
