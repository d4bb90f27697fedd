"""The IP packager's script, run with stand-ins that refuse what Vivado would refuse."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

STUB = Path(__file__).resolve().parent / "ipx_stub.tcl"


def run(package: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the package's package_ip.tcl in tclsh."""
    tclsh = shutil.which("tclsh")
    assert tclsh, "these tests need tclsh: apt-get install tcl"
    return subprocess.run(
        [tclsh, str(STUB), str(package)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
        check=False,
    )


def test_streams_are_on_the_clock_and_the_reset_is_active_low(package: Path) -> None:
    done = run(package)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "packaged qdeploy accelerator ip" in lines
    assert "set parameter:aclk,ASSOCIATED_BUSIF value s_axis:m_axis" in lines
    assert "set parameter:aclk,ASSOCIATED_RESET value aresetn" in lines
    assert "set parameter:aresetn,POLARITY value ACTIVE_LOW" in lines
    assert "set core name toy_ip" in lines
    assert lines.index("check_integrity") < lines.index("save_core")


def test_every_file_of_the_design_is_in_the_ip(package: Path) -> None:
    lines = run(package).stdout.splitlines()
    for path in (package / "rtl").iterdir():
        if path.name != "design.json":
            assert f"file {path.name}" in lines
        if path.suffix == ".hex":
            assert f"set {path.name} file_type {{Memory Initialization Files}}" in lines
    assert "file toy_ip.xdc" in lines
    assert "set sources_1 top toy_ip" in lines


@pytest.mark.parametrize("name", ["aclk", "aresetn", "s_axis", "m_axis"])
def test_an_interface_that_is_not_inferred_stops_it(package: Path, name: str) -> None:
    done = run(package, QD_LOSE=name)
    assert done.returncode == 1
    assert f"the interface {name} was not inferred" in done.stderr
