"""The driver in C, as it is shipped, against the package's RTL and a DMA as PG021 describes it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import bare_metal
import fake_board
import numpy as np
import pytest
import toy_core

ERRORS = {
    4: b"DMAIntErr",
    5: b"DMASlvErr",
    6: b"DMADecErr",
    8: b"SGIntErr",
    9: b"SGSlvErr",
    10: b"SGDecErr",
}
OUT = 1 << 19


@pytest.fixture(scope="session")
def library(toy_package: Path, toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy package's driver in C, for this machine."""
    target = tmp_path_factory.mktemp("bare_metal") / "driver.so"
    return bare_metal.build_driver(toy_package / "bare_metal", toy_model, target)


@pytest.fixture
def changed(
    toy_package: Path, toy_model: Path, tmp_path: Path, board: fake_board.FakeBoard
) -> Callable[[str, str, str], bare_metal.BareMetal]:
    """The driver with another text in one file."""

    def make(name: str, old: str, new: str) -> bare_metal.BareMetal:
        folder = tmp_path / "bare_metal"
        shutil.copytree(toy_package / "bare_metal", folder)
        text = (folder / name).read_text()
        assert text.count(old) == 1
        (folder / name).write_text(text.replace(old, new))
        return bare_metal.BareMetal(
            bare_metal.build_driver(folder, toy_model, tmp_path / "changed.so"), board
        )

    return make


@pytest.fixture
def driver(library: Path, board: fake_board.FakeBoard) -> bare_metal.BareMetal:
    """Not yet opened."""
    return bare_metal.BareMetal(library, board)


def packed(raw: np.ndarray) -> np.ndarray:
    """The toy core's frames as beats of four bytes, three of them used."""
    beats = np.zeros((len(raw), 4, 4), np.uint8)
    beats[:, :, :3] = raw.transpose(0, 2, 3, 1).reshape(-1, 4, 3)
    return beats.reshape(-1)


def right(driver: bare_metal.BareMetal, count: int = 7, seed: int = 3) -> None:
    """A batch of random frames gives the right sums."""
    raw = toy_core.frames(count, seed=seed)
    driver.memory(0, 16 * count)[:] = packed(raw)
    assert driver.run(count) == "OK"
    sums = driver.memory(OUT, 10 * count).view(np.int16).astype(np.int64)
    found = np.where(sums >= 1 << 14, sums - (1 << 15), sums).reshape(count, 5)
    np.testing.assert_array_equal(found, toy_core.expected(raw))
    assert driver.last.frames_done == count and driver.last.bytes == 10 * count


def test_the_selftest_runs_every_golden_frame_and_finds_nothing_wrong(
    driver: bare_metal.BareMetal,
) -> None:
    assert driver.open() == "OK"
    status, report = driver.selftest()
    assert status == "OK"
    assert (report.packing_mismatches, report.batch_mismatches, report.single_mismatches) == (
        0,
    ) * 3
    assert driver.last.frames_done == 1 and driver.last.cycles >= 9


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("const int64_t qd_golden_outputs[100] = {\n    ", "\\g<0>1 + ", (0, 1, 1)),
        ("const uint8_t qd_golden_packed[320] = {\n    ", "\\g<0>1 ^ ", (1, None, None)),
        ("const qd_raw qd_golden_raw[240] = {\n    ", "\\g<0>1 ^ ", (1, 0, 0)),
    ],
    ids=["outputs", "packed", "raw"],
)
def test_the_selftest_finds_one_wrong_number(
    old: str,
    new: str,
    wrong: tuple[int | None, ...],
    changed: Callable[[str, str, str], bare_metal.BareMetal],
) -> None:
    driver = changed("qd_design.c", old, new.replace("\\g<0>", old))
    assert driver.open() == "OK"
    status, report = driver.selftest()
    assert status == "MISMATCH"
    found = (report.packing_mismatches, report.batch_mismatches, report.single_mismatches)
    for is_, should in zip(found, wrong, strict=True):
        assert is_ == should or (should is None and is_ > 0)
    if found[1]:
        assert (report.frame, report.element) == (0, 0)
        assert report.found != report.expected


@pytest.mark.parametrize("count", [1, 2, 33, 1000])
def test_batches_of_any_size_are_right(count: int, driver: bare_metal.BareMetal) -> None:
    assert driver.open() == "OK"
    right(driver, count, seed=count)
    right(driver, 1 + count // 2)


def test_a_batch_can_be_polled(driver: bare_metal.BareMetal) -> None:
    assert driver.open() == "OK"
    right(driver, 300)
    first = driver.memory(OUT, 3000).copy()
    driver.memory(OUT, 3000)[:] = 0
    assert driver.begin(300) == "OK"
    assert driver.poll() == "BUSY"
    # Another batch has to wait, and changes nothing.
    assert driver.begin(1) == "ARGUMENT"
    seen = {driver.poll() for _ in range(1000) if driver.device.frames}
    assert seen == {"BUSY", "OK"}
    assert driver.poll() == "ARGUMENT"
    np.testing.assert_array_equal(driver.memory(OUT, 3000), first)


@pytest.mark.parametrize("channel", ["MM2S", "S2MM"])
@pytest.mark.parametrize("bit", ERRORS)
def test_every_error_of_either_channel_is_named_and_the_next_batch_is_right(
    bit: int, channel: str, driver: bare_metal.BareMetal
) -> None:
    assert driver.open() == "OK"
    driver.board.fault(channel == "S2MM", bit, after=10)
    assert driver.run(6) == ("RECEIVE" if channel == "S2MM" else "SEND")
    last = driver.last
    status, other = last.mm2s_status, last.s2mm_status
    if channel == "S2MM":
        status, other = other, status
    assert status & 0x770 == 1 << bit and not other & 0x770
    assert driver.code.qd_dma_error_name(bit) == ERRORS[bit]
    assert last.recovered
    right(driver)


def test_bits_that_are_no_errors_have_no_name(driver: bare_metal.BareMetal) -> None:
    named = {bit for bit in range(32) if driver.code.qd_dma_error_name(bit)}
    assert named == set(ERRORS)


def test_a_core_that_takes_no_input_is_a_time_out_of_the_sender(
    driver: bare_metal.BareMetal,
) -> None:
    assert driver.open() == "OK"
    driver.board.stall_send = True
    assert driver.run(5) == "SEND_TIMEOUT"
    assert driver.last.frames_done == 0 and driver.last.recovered
    driver.board.stall_send = False
    right(driver)


@pytest.mark.parametrize("drop", [4, 20, 48])
def test_too_few_results_are_a_time_out_of_the_receiver(
    drop: int, driver: bare_metal.BareMetal
) -> None:
    assert driver.open() == "OK"
    driver.board.drop = drop
    assert driver.run(6) == "RECEIVE_TIMEOUT"
    assert driver.last.frames_done < 6 and driver.last.recovered
    driver.board.drop = 0
    right(driver)


@pytest.mark.parametrize(("early", "told"), [(30, "SEND_TIMEOUT"), (50, "LENGTH")])
def test_results_that_end_early_are_an_error(
    early: int, told: str, driver: bare_metal.BareMetal
) -> None:
    assert driver.open() == "OK"
    driver.board.early = early
    assert driver.run(6) == told
    if told == "LENGTH":
        assert driver.last.bytes == 50
    driver.board.early = 0
    right(driver)


def test_a_reset_that_does_not_end_is_told_and_tried_again_with_the_next_batch(
    driver: bare_metal.BareMetal,
) -> None:
    assert driver.open() == "OK"
    driver.board.drop, driver.board.never_resets = 4, True
    assert driver.run(6) == "RECEIVE_TIMEOUT"
    assert not driver.last.recovered
    assert driver.run(6) == "DMA_RESET"
    assert driver.open() == "DMA_RESET"
    driver.board.drop, driver.board.never_resets = 0, False
    right(driver)


def test_a_design_that_takes_long_gets_twice_its_time(
    changed: Callable[[str, str, str], bare_metal.BareMetal],
) -> None:
    # 6 frames of 10^7 cycles at 100 MHz take 0.6 s: the time-out of 0.2 s is not for them.
    driver = changed("qd_design.h", "QD_CYCLES_PER_FRAME 9u", "QD_CYCLES_PER_FRAME 10000000u")
    assert driver.open() == "OK"
    driver.board.stall_send = True
    assert driver.begin(6) == "OK"
    assert driver.device.allowed == 1_200_000
    driver.board.stall_send = False
    assert driver.recover() == "OK"
    right(driver, 6)


def test_a_bitstream_that_is_not_this_packages_is_refused(
    driver: bare_metal.BareMetal, changed: Callable[[str, str, str], bare_metal.BareMetal]
) -> None:
    assert driver.open(shell=0x50000000) == "NO_SHELL"
    driver.board.scatter_gather = True
    assert driver.open() == "DESCRIPTORS"
    driver.board.scatter_gather = False
    assert driver.open() == "OK"
    assert changed("qd_design.h", "#define QD_DESIGN_ID 0x", "#define QD_DESIGN_ID ~0x").open() == (
        "OTHER_DESIGN"
    )


def test_a_shell_of_another_version_is_refused(
    changed: Callable[[str, str, str], bare_metal.BareMetal],
) -> None:
    old = "#define SHELL_VERSION 1u"
    assert changed("qd_accelerator.c", old, old.replace("1u", "2u")).open() == "SHELL_VERSION"


def test_what_the_dma_cannot_take_never_reaches_it(driver: bare_metal.BareMetal) -> None:
    assert driver.open() == "OK"
    most = ((1 << 26) - 1) // 16
    for frames, status in ((0, "ARGUMENT"), (most + 1, "ARGUMENT")):
        assert driver.run(frames) == status
    for offset in (1, 4, 32):
        assert driver.begin(1, offset) == "ALIGNMENT"
    driver.start, start = 0, driver.start
    assert driver.begin(1) == "ARGUMENT"  # NULL
    driver.start = start
    for address in (1 << 32, (1 << 32) - (1 << 19)):
        driver.attach(address)
        assert driver.run(1) == "ADDRESS"
    driver.attach()
    right(driver)


def test_every_status_has_words_of_its_own(driver: bare_metal.BareMetal) -> None:
    texts = [driver.code.qd_status_text(k) for k in range(len(bare_metal.STATUS) + 1)]
    assert len(set(texts)) == len(texts) and texts[-1] == b"no status of this driver"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "qd_accelerator.c",
            "    qd_port_invalidate(device->out, QD_OUT_BYTES(device->frames));\n",
        ),
        ("qd_accelerator.c", "    qd_port_flush(in, QD_IN_BYTES(frames));\n"),
        ("qd_accelerator.c", "    qd_port_write(device->shell + FRAMES, frames);\n"),
    ],
    ids=["invalidate", "flush", "frames"],
)
def test_a_driver_without_one_of_its_steps_fails_here(
    name: str, line: str, changed: Callable[[str, str, str], bare_metal.BareMetal]
) -> None:
    driver = changed(name, line, "")
    assert driver.open() == "OK"
    assert driver.selftest()[0] != "OK"
