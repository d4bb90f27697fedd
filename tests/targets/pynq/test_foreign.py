"""What is not this package's: bitstreams, weights, other processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import fake_board
import numpy as np
import pytest
import toy_core

from qdeploy.devices.boards import load_board
from qdeploy.self_digest import with_digest
from qdeploy.targets.pynq.package import make_package

Load = Callable[..., ModuleType]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: fake_board.bit_file(path, cut=5), "cut short or damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "no Xilinx bitstream"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"\x7fELF" + bytes(100)), "no Xilinx bitstream"),
        (lambda path: path.write_bytes(path.read_bytes() + b"more"), "cut short or damaged"),
        (lambda path: fake_board.bit_file(path, "7z010clg400"), "part 7z010clg400, .* xc7z020"),
        (lambda path: fake_board.bit_file(path, "xczu3eg-sbva484-1-e"), "part xczu3eg"),
        (lambda path: path.with_suffix(".hwh").write_bytes(b""), "hwh is empty"),
        (lambda path: path.unlink(), "make bitstream"),
    ],
    ids=["cut", "header", "empty", "elf", "longer", "7z010", "zu3eg", "no hwh", "missing"],
)
def test_a_bitstream_that_cannot_be_this_packages_never_reaches_the_fpga(
    damage: Callable[[Path], object],
    told: str,
    bitstream: Path,
    driver: ModuleType,
    board: fake_board.FakeBoard,
) -> None:
    damage(bitstream)
    with pytest.raises(driver.AcceleratorError, match=told):
        driver.Accelerator()
    assert board.loaded == []


@pytest.mark.parametrize("part", ["7z020clg400", "xc7z020clg400-1", "XC7Z020CLG400"])
def test_ways_to_write_the_part_in_a_header(part: str, bitstream: Path, driver: ModuleType) -> None:
    fake_board.bit_file(bitstream, part)
    accelerator = driver.Accelerator()
    assert accelerator.clock_mhz > 0
    accelerator.close()


def test_a_bitstream_of_another_project_is_told_by_its_blocks(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    board.blocks = ["axi_dma_0"]
    with pytest.raises(driver.AcceleratorError, match=r"not of a qdeploy package.*no qd_shell_0"):
        driver.Accelerator()
    # The board was given back.
    board.blocks = ["axi_dma_0", "qd_shell_0"]
    driver.Accelerator().close()


def test_a_dma_with_descriptors_is_refused(driver: ModuleType, board: fake_board.FakeBoard) -> None:
    board.scatter_gather = True
    with pytest.raises(driver.AcceleratorError, match="scatter-gather"):
        driver.Accelerator()


def test_a_dma_with_a_short_length_register_gets_shorter_transfers_or_is_refused(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    board.length_bits = 8
    raw = toy_core.frames(40)
    with driver.Accelerator() as accelerator:
        assert accelerator.max_batch == 255 // 16
        np.testing.assert_array_equal(accelerator.infer_codes(raw), toy_core.expected(raw))
    board.length_bits = 3
    with pytest.raises(driver.AcceleratorError, match="moves at most 7"):
        driver.Accelerator()
    assert board.memory == {}


def test_the_weights_of_another_network_are_refused(
    tmp_path: Path,
    toy_package: Path,
    bitstream: Path,
    board: fake_board.FakeBoard,
    load_driver: Load,
) -> None:
    build = tmp_path / "retrained"
    design = toy_core.write_core(build / "rtl")
    memory = build / "rtl/toy_weights.hex"
    memory.write_text("\n".join(reversed(memory.read_text().split())) + "\n")
    raw = toy_core.frames(3)
    package = make_package(
        build, design, load_board("pynq-z2"), raw, toy_core.expected(raw), classes=list("abcde")
    )
    shutil.copytree(bitstream.parent, package / "bitstream")
    ids = [json.loads((root / "bundle.json").read_text()) for root in (package, toy_package)]
    assert ids[0]["design_id"] != ids[1]["design_id"]
    driver = load_driver(package, board)
    with pytest.raises(driver.AcceleratorError, match="other weights; build it again"):
        driver.Accelerator()


def test_a_bundle_of_another_version_is_refused(
    toy_package: Path, driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    from driver.bundle import BundleError

    path = toy_package / "bundle.json"
    saved = path.read_text(encoding="utf-8")
    try:
        for version in (0, 2, "1", None):
            path.write_text(json.dumps(with_digest({**json.loads(saved), "format": version})))
            with pytest.raises(BundleError, match=f"has format {version}, this driver reads 1"):
                driver.Accelerator()
    finally:
        path.write_text(saved, encoding="utf-8")
    assert board.loaded == []


OTHER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import driver.device_lock as locks
locks.FOLDERS = (Path(sys.argv[2]),)
try:
    lock = locks.DeviceLock()
except RuntimeError as error:
    print("refused:", error, flush=True)
    sys.exit(1)
print("has it", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(toy_package: Path, tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Start a second process that takes the board until its input ends."""
    (tmp_path / "other.py").write_text(OTHER)
    # numpy and pynq are not needed to take the lock.
    command = [sys.executable, str(tmp_path / "other.py"), str(toy_package), str(tmp_path)]

    def start() -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, **pipes)

    return start


def test_a_second_process_is_refused_until_the_first_closes_or_dies(
    driver: ModuleType, board: fake_board.FakeBoard, other: Callable[[], subprocess.Popen[str]]
) -> None:
    with driver.Accelerator():
        second = other()
        answer, _ = second.communicate(timeout=60)
        assert second.returncode == 1
        assert (
            f"refused: another process uses the FPGA: process {__import__('os').getpid()}" in answer
        )
    second = other()
    try:
        assert second.stdout is not None and second.stdout.readline() == "has it\n"
        loaded = list(board.loaded)
        with pytest.raises(driver.AcceleratorError, match=f"process {second.pid} .*other.py"):
            driver.Accelerator()
        # Nothing was loaded over the other's bitstream.
        assert board.loaded == loaded
    finally:
        second.kill()
        second.communicate(timeout=60)
    driver.Accelerator().close()


def test_the_lock_needs_no_package_and_says_when_it_cannot_be_had(
    driver: ModuleType, tmp_path: Path
) -> None:
    import driver.device_lock as locks

    (tmp_path / locks.NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(driver.AcceleratorError, match="cannot be opened"):
        driver.Accelerator()
