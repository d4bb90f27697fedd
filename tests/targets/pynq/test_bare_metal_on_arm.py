"""The program of a package on the boards' processors, in QEMU, against the package's RTL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import arm_core
import fake_board
import pytest
from loadable_package import LoadablePackage

from qdeploy.design.loading import checksum
from qdeploy.design.weights_file import weights_file

Run = Callable[[bytes | None], tuple[int, str]]


@pytest.fixture
def board(loadable_package: LoadablePackage) -> Iterator[fake_board.FakeBoard]:
    """With the bitstream, as after a boot."""
    found = fake_board.FakeBoard(loadable_package.model, loadable_package.package / "rtl")
    found._load("accelerator.bit", True)
    found.pace = 1000
    yield found
    found.close()


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    loadable_package: LoadablePackage,
    board: fake_board.FakeBoard,
    tmp_path: Path,
) -> Run:
    """Start the program, with a file of weights in memory or none."""
    core, made = arm_core.CORES[request.param], loadable_package

    def started(file: bytes | None) -> tuple[int, str]:
        defined = []
        weights = None
        if file is not None:
            weights = tmp_path / "weights.bin"
            weights.write_bytes(file)
            defined = [f"QD_WEIGHTS_AT={core.weights:#x}", f"QD_WEIGHTS_SIZE={len(file)}u"]
        program = tmp_path / f"{len(file or b'')}.elf"
        if not program.exists():
            arm_core.build_program(core, made.package / "bare_metal", program, defined)
        machine = arm_core.Machine(core, board)
        return machine.run(program, weights), machine.printed

    return started


@pytest.mark.parametrize("run", arm_core.CORES, indirect=True)
def test_the_program_tests_the_bitstream_and_loads_weights(
    run: Run, loadable_package: LoadablePackage
) -> None:
    made = loadable_package
    assert run(None) == (0, "self-test passed: 8 golden frames\r\n")
    code, printed = run(made.files[1])
    loaded = f"weights loaded, checksum {checksum(made.swapped.images[1]):x}\r\n"
    assert (code, printed) == (0, loaded + "self-test passed: 8 golden frames\r\n")
    # A program that is started again finds the other network's weights.
    code, printed = run(None)
    assert code == 1 and "the weights in the FPGA are not known" in printed
    assert run(made.files[0])[0] == 0
    assert run(None)[0] == 0


@pytest.mark.parametrize("run", arm_core.CORES, indirect=True)
def test_the_program_says_what_is_wrong(
    run: Run, board: fake_board.FakeBoard, loadable_package: LoadablePackage
) -> None:
    made = loadable_package
    identity = f"{int.from_bytes(made.files[1][8:12], 'little'):08x}"
    wrong = made.outputs[1].copy()
    wrong[0, 1] -= 1
    code, printed = run(weights_file(identity, made.swapped.images[1], wrong))
    assert code == 1
    found = made.outputs[1][0, 1]
    assert f"first: frame 0, element 1: {found} instead of {found - 1}" in printed
    code, printed = run(made.files[1][:-1])
    assert code == 1 and "no whole file of weights" in printed
    board.fault(True, 6, after=3)
    code, printed = run(made.files[1])
    assert code == 1 and "the DMA's channel S2MM has stopped\r\n  S2MM: DMADecErr" in printed
    assert run(made.files[1])[0] == 0
