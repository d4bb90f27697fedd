"""`scripts/setup` on machines that lack programs: what it does and what it says."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

import qdeploy

ROOT = Path(qdeploy.__file__).resolve().parent.parent
BASICS = ("bash", "dirname", "id", "cat", "sha256sum", "cut", "env")
ARM = ("arm-linux-gnueabihf-gcc", "aarch64-linux-gnu-gcc")
PROGRAMS = ("verilator", "yosys", "g++", "make", "tclsh", "iverilog", *ARM)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose Python part is set up already, with a PATH folder `bin` of its own."""
    place = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", place / "scripts")
    shutil.copy(ROOT / "pyproject.toml", place)
    content = (place / "pyproject.toml").read_bytes() + f"{place}\n".encode()
    (place / ".venv").mkdir()
    (place / ".venv/.qdeploy-setup").write_text(hashlib.sha256(content).hexdigest() + "\n")
    (place / "bin").mkdir()
    for name in BASICS:
        found = shutil.which(name)
        assert found is not None
        (place / "bin" / name).symlink_to(found)
    return place


def _program(checkout: Path, name: str, script: str = "") -> None:
    path = checkout / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _setup(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", str(checkout / "scripts/setup")],
        env={"PATH": str(checkout / "bin"), "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_second_run_has_nothing_to_do_and_says_so(checkout: Path) -> None:
    for name in PROGRAMS:
        _program(checkout, name)
    done = _setup(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert "set-up is complete: nothing to do" in done.stdout


def test_without_apt_it_says_what_to_install_and_goes_on(checkout: Path) -> None:
    for name in set(PROGRAMS) - {"verilator", "yosys"}:
        _program(checkout, name)
    done = _setup(checkout)
    assert done.returncode == 0
    assert "verilator yosys missing, and this account may not use apt" in done.stderr
    assert "apt-get install verilator yosys" in done.stderr
    assert "skips the checks that need them" in done.stderr


def test_ordinary_user_without_sudo_is_told_that_apt_may_not_be_used(checkout: Path) -> None:
    _program(checkout, "apt-get", "echo called >&2; exit 0")
    (checkout / "bin/id").unlink()
    _program(checkout, "id", "echo 1000")
    done = _setup(checkout)
    assert done.returncode == 0
    assert "called" not in done.stderr
    assert "may not use apt" in done.stderr


def test_root_installs_only_the_missing_packages(checkout: Path) -> None:
    _program(checkout, "apt-get", 'echo "apt-get $*" >&2')
    (checkout / "bin/id").unlink()
    _program(checkout, "id", "echo 0")
    for name in set(PROGRAMS) - {"yosys"}:
        _program(checkout, name)
    done = _setup(checkout)
    assert done.returncode == 0
    assert "installing yosys through apt" in done.stdout
    calls = [line for line in done.stderr.splitlines() if "install" in line]
    assert len(calls) == 1
    assert calls[0].endswith(" yosys")


def test_apt_that_fails_is_a_warning_with_its_consequence(checkout: Path) -> None:
    _program(checkout, "apt-get", "echo no network >&2; exit 100")
    (checkout / "bin/id").unlink()
    _program(checkout, "id", "echo 0")
    done = _setup(checkout)
    assert done.returncode == 0
    assert "no network" in done.stderr
    packages = "verilator yosys g++ make tcl iverilog gcc-arm-linux-gnueabihf gcc-aarch64-linux-gnu"
    assert f"apt could not install {packages}" in done.stderr
