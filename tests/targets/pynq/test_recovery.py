"""A DMA that stops, sticks or is interrupted, as PG021 says it does: a clear error, and the next
batch right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import fake_board
import numpy as np
import pytest
import toy_core

ERRORS = {
    4: "DMAIntErr",
    5: "DMASlvErr",
    6: "DMADecErr",
    8: "SGIntErr",
    9: "SGSlvErr",
    10: "SGDecErr",
}
RAW = toy_core.frames(6, seed=7)


@pytest.fixture
def accelerator(driver: ModuleType) -> Iterator[Any]:
    """Open, with little patience."""
    with driver.Accelerator(timeout_s=0.05) as made:
        yield made


def right(accelerator: Any, seed: int = 8) -> None:
    """The next batches are right, of one frame too."""
    raw = toy_core.frames(9, seed=seed)
    np.testing.assert_array_equal(accelerator.infer_codes(raw), toy_core.expected(raw))
    np.testing.assert_array_equal(accelerator.infer_codes(raw[2]), toy_core.expected(raw[2:3]))


@pytest.mark.parametrize("channel", ["MM2S", "S2MM"])
@pytest.mark.parametrize("bit", ERRORS)
def test_every_error_of_either_channel_is_named_and_the_next_batch_is_right(
    bit: int, channel: str, driver: ModuleType, accelerator: Any, board: fake_board.FakeBoard
) -> None:
    board.fault(channel == "S2MM", bit, after=10)
    with pytest.raises(driver.AcceleratorError, match=rf"{channel}.*{ERRORS[bit]} .*starts clean"):
        accelerator.infer_codes(RAW)
    right(accelerator)


def test_results_that_do_not_end_are_an_internal_error_of_the_receiver(
    driver: ModuleType, accelerator: Any, board: fake_board.FakeBoard
) -> None:
    begin = accelerator._board._shell.begin
    accelerator._board._shell.begin = lambda frames: begin(frames + 1)
    with pytest.raises(driver.AcceleratorError, match=r"S2MM waits|DMAIntErr"):
        accelerator.infer_codes(RAW)
    accelerator._board._shell.begin = lambda frames: begin(max(1, frames - 1))
    with pytest.raises(driver.AcceleratorError, match=r"bytes instead of|DMAIntErr"):
        accelerator.infer_codes(RAW)
    accelerator._board._shell.begin = begin
    right(accelerator)


@pytest.mark.parametrize(
    ("early", "told"), [(30, "results ended before all input"), (50, "50 bytes instead of 60")]
)
def test_results_that_end_early_are_an_error_and_not_old_memory(
    early: int, told: str, driver: ModuleType, accelerator: Any, board: fake_board.FakeBoard
) -> None:
    board.early = early
    with pytest.raises(driver.AcceleratorError, match=told):
        accelerator.infer_codes(RAW)
    board.early = 0
    right(accelerator)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_core_that_takes_no_input_is_a_time_out_of_the_sender(
    frames: int, driver: ModuleType, accelerator: Any, board: fake_board.FakeBoard
) -> None:
    board.stall_send = True
    with pytest.raises(driver.AcceleratorError, match=r"within 0\.05 s.*MM2S waits.*0 came out"):
        accelerator.infer_codes(RAW[:frames])
    board.stall_send = False
    right(accelerator)


@pytest.mark.parametrize("drop", [4, 8, 16, 20, 48])
def test_too_few_results_are_a_time_out_of_the_receiver(
    drop: int, driver: ModuleType, accelerator: Any, board: fake_board.FakeBoard
) -> None:
    board.drop = drop
    with pytest.raises(driver.AcceleratorError, match=r"S2MM waits.*starts clean"):
        accelerator.infer_codes(RAW)
    board.drop = 0
    right(accelerator, seed=drop)


def test_a_reset_that_does_not_end_is_told_and_tried_again_with_the_next_batch(
    driver: ModuleType,
    accelerator: Any,
    board: fake_board.FakeBoard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import driver.board as boards

    monkeypatch.setattr(boards, "RESET_SECONDS", 0.05)
    board.drop, board.never_resets = 4, True
    with pytest.raises(driver.AcceleratorError, match=r"S2MM waits.*reset did not help"):
        accelerator.infer_codes(RAW)
    with pytest.raises(driver.AcceleratorError, match="reset does not end within"):
        accelerator.infer_codes(RAW)
    # What the DMA may still write to is not given back.
    kept = dict(board.memory)
    assert kept
    board.drop, board.never_resets = 0, False
    right(accelerator)


def test_buffers_that_a_stuck_dma_may_write_to_are_never_given_back(
    driver: ModuleType, board: fake_board.FakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    import driver.board as boards

    monkeypatch.setattr(boards, "RESET_SECONDS", 0.05)
    accelerator = driver.Accelerator(timeout_s=0.05)
    board.drop, board.never_resets = 4, True
    with pytest.raises(driver.AcceleratorError, match="reset did not help"):
        accelerator.infer_codes(RAW)
    accelerator.close()
    assert len(board.memory) == 2 and board.freed_in_use == 0


class Interrupt:
    """Ctrl-C at one access to the DMA's registers."""

    def __init__(self, board: fake_board.FakeBoard, after: int) -> None:
        self.board, self.at = board, board.accesses + after

    def __call__(self, number: int) -> None:
        if number == self.at:
            self.board.interrupt = None
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", range(1, 22))
def test_ctrl_c_anywhere_in_a_batch_leaves_the_next_one_right(
    after: int, accelerator: Any, board: fake_board.FakeBoard
) -> None:
    board.pace = 20
    board.interrupt = Interrupt(board, after)
    with pytest.raises(KeyboardInterrupt):
        accelerator.infer_codes(toy_core.frames(40, seed=3))
    right(accelerator)
    assert not board.busy(0) and not board.busy(1)


def test_a_second_ctrl_c_within_the_recovery_leaves_the_next_batch_right(
    accelerator: Any, board: fake_board.FakeBoard
) -> None:
    times = [board.accesses + 9, board.accesses + 12]
    seen = []

    def twice(number: int) -> None:
        if number in times:
            seen.append(number)
            raise KeyboardInterrupt

    board.interrupt = twice
    with pytest.raises(KeyboardInterrupt):
        accelerator.infer_codes(RAW)
    assert seen == times
    board.interrupt = None
    right(accelerator)


def test_a_failure_between_arming_the_two_channels_leaves_the_next_batch_right(
    accelerator: Any,
) -> None:
    start = accelerator._board._dma.send.start

    def fails(*_: int) -> None:
        accelerator._board._dma.send.start = start
        raise OSError("bus")

    accelerator._board._dma.send.start = fails
    with pytest.raises(OSError, match="bus"):
        accelerator.infer_codes(RAW)
    right(accelerator)


def test_an_accelerator_made_again_on_a_stuck_dma_starts_clean(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    first = driver.Accelerator(timeout_s=0.05)
    board.drop = 4
    first._pipeline.buffers.take(0, 6)
    pair = first._pipeline.buffers.take(0, 6)
    first._board.begin(6, pair.source, 6 * 16, pair.sink, 6 * 10)
    board.drop = 0
    # The process is gone without a word: its lock with it, the DMA goes on.
    first._board._lock.release()
    first._board.closed = True
    with driver.Accelerator(download=False) as second:
        right(second)
    assert board.loaded[-1][1] is False


@pytest.mark.parametrize(
    "name", ["infer", "infer_codes", "classify", "submit", "selftest", "reset"]
)
def test_whatever_is_called_after_close_says_so(
    name: str, driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    with driver.Accelerator() as accelerator:
        right(accelerator)
    accelerator.close()
    given = () if name in ("selftest", "reset") else (RAW,)
    with pytest.raises(driver.AcceleratorError, match="is closed; make a new one"):
        getattr(accelerator, name)(*given)
    assert board.memory == {}


def test_a_slow_design_gets_the_time_it_needs(
    toy_package: Path, driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    board.pace = 1
    with driver.Accelerator(timeout_s=0.0001) as accelerator:
        with pytest.raises(driver.AcceleratorError, match="did not come back"):
            accelerator.infer_codes(toy_core.frames(400))
        # 400 frames of 25,000 cycles at 100 MHz take 0.1 s.
        accelerator._pipeline._frame_s = 25_000 / 100e6
        board.pace = 50
        raw = toy_core.frames(400)
        np.testing.assert_array_equal(accelerator.infer_codes(raw), toy_core.expected(raw))
