"""The package's FuseSoC core, run by FuseSoC."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def fusesoc(package: Path, target: str, *options: str) -> subprocess.CompletedProcess[str]:
    """`fusesoc run` on the package's core, without a configuration of the user's."""
    (package / "fusesoc.conf").write_text("[main]\n", encoding="utf-8")
    code = "import sys; from fusesoc.main import main; sys.exit(main())"
    return subprocess.run(
        [
            *(sys.executable, "-c", code, "--config", "fusesoc.conf", "--cores-root=."),
            *("run", f"--target={target}", "qdeploy:accelerator:toy_ip", *options),
        ],
        cwd=package,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def place(package: Path, tmp_path: Path) -> Path:
    """The package where Edalize's makefiles work: they take no spaces."""
    return package.rename(tmp_path / "package")


@pytest.mark.slow
def test_the_verilator_flow_passes(place: Path) -> None:
    done = fusesoc(place, "sim", "--stall=40", "--seed=5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS 8 frames" in done.stdout + done.stderr
    assert "stall 40 %, seed 5" in done.stdout + done.stderr
    assert fusesoc(place, "lint").returncode == 0


def test_the_icarus_flow_passes_and_fails(place: Path) -> None:
    done = fusesoc(place, "sim_icarus", "--frames=3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS 3 frames" in done.stdout + done.stderr
    path = place / "tb/golden_output.hex"
    lines = path.read_text(encoding="utf-8").split()
    lines[0] = "f" * len(lines[0])
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    done = fusesoc(place, "sim_icarus", "--frames=3")
    assert done.returncode != 0
    assert "FAIL frame 0 beat 0" in done.stdout + done.stderr
