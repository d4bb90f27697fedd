"""Packing, transfers and unpacking side by side; calls without waiting; buffers as needed."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from types import ModuleType
from typing import Any

import fake_board
import numpy as np
import pytest
import toy_core


def watched(accelerator: Any, board: fake_board.FakeBoard) -> list[tuple[str, int, bool]]:
    """What the processor does, frames, and whether the DMA moves something meanwhile."""
    seen: list[tuple[str, int, bool]] = []
    pack, unpack = accelerator.layout.to_beats, accelerator.layout.from_beats

    def packed(batch: np.ndarray, out: np.ndarray) -> None:
        seen.append(("pack", len(batch), bool(board.busy(0) or board.busy(1))))
        pack(batch, out)

    def unpacked(data: np.ndarray) -> np.ndarray:
        seen.append(("unpack", len(data), bool(board.busy(0) or board.busy(1))))
        return unpack(data)

    accelerator.layout.to_beats, accelerator.layout.from_beats = packed, unpacked
    return seen


def test_a_transfer_is_packed_and_unpacked_while_its_neighbours_move(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    raw = toy_core.frames(24, seed=1)
    board.pace = 20
    with driver.Accelerator(max_batch=8) as accelerator:
        seen = watched(accelerator, board)
        found = accelerator.infer_codes(raw)
    np.testing.assert_array_equal(found, toy_core.expected(raw))
    assert seen == [
        ("pack", 8, False),
        ("pack", 8, True),
        ("unpack", 8, True),
        ("pack", 8, True),
        ("unpack", 8, True),
        ("unpack", 8, False),
    ]


def test_a_large_batch_is_cut_into_transfers_that_overlap(
    driver: ModuleType, board: fake_board.FakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    import driver.accelerator as accelerators

    monkeypatch.setattr(accelerators, "LEAST_BYTES", 16 * 4)
    with driver.Accelerator() as accelerator:
        sizes = {
            count: [len(piece) for piece in accelerator._pieces(toy_core.frames(count), None)]
            for count in (1, 4, 5, 33, 100)
        }
    assert sizes[1] == [1] and sizes[4] == [4] and sizes[5] == [3, 2]
    assert sizes[33] == [5] * 6 + [3]
    assert sizes[100] == [13] * 7 + [9]


def test_a_single_frame_moves_no_more_memory_than_the_smallest_buffers(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    with driver.Accelerator() as accelerator:
        for count in (1024, 1):
            accelerator.infer_codes(toy_core.frames(count))
        board.synced = 0
        accelerator.infer_codes(toy_core.frames(1))
        # To the DMA, and back: 8 KiB each, the smallest buffers.
        assert board.synced == 2 * 8192
        board.synced = 0
        accelerator.infer_codes(toy_core.frames(1000))
        assert board.synced == 1024 * (16 + 10)


def test_buffers_of_a_size_are_made_once_and_few_sizes_are_kept(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    with driver.Accelerator() as accelerator:
        for _ in range(5):
            accelerator.infer_codes(toy_core.frames(7))
        assert len(board.allocated) == 2
        for count in range(1, 200, 7):
            raw = toy_core.frames(count)
            np.testing.assert_array_equal(accelerator.infer_codes(raw), toy_core.expected(raw))
        assert len(board.memory) == 2 * 3
    assert board.freed_in_use == 0 and board.memory == {}


def test_memory_beyond_the_dmas_address_is_refused(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    with driver.Accelerator() as accelerator:
        board.next_address = 1 << 32
        with pytest.raises(driver.AcceleratorError, match="beyond the DMA's 32 bits"):
            accelerator.infer_codes(toy_core.frames(1))
        assert board.memory == {}


def test_submitted_batches_overlap_and_come_back_in_their_order(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    batches = [toy_core.frames(count, seed=count) for count in (5, 1, 12, 3, 8)]
    with driver.Accelerator(max_batch=6) as accelerator:
        seen = watched(accelerator, board)
        with accelerator._one_at_a_time:  # until all are queued
            futures = [accelerator.submit(batch) for batch in batches]
        classes = accelerator.submit(batches[0], then=accelerator.classes)
        for batch, future in zip(batches, futures, strict=True):
            np.testing.assert_array_equal(future.result(30), toy_core.expected(batch) * 0.125)
        wanted = toy_core.expected(batches[0]).argmax(axis=1)
        np.testing.assert_array_equal(classes.result(30), wanted)
        assert accelerator.submit(batches[0][:0]).result(1).shape == (0, 5)
    # All but the first are packed while another moves.
    busy = [moves for what, _, moves in seen[: 2 * 6] if what == "pack"]
    assert busy[0] is False and all(busy[1:])


def test_submitted_and_waited_for_batches_of_several_threads_do_not_mix(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    wrong: list[int] = []
    with driver.Accelerator(max_batch=4) as accelerator:

        def work(seed: int) -> None:
            for turn in range(4):
                raw = toy_core.frames(1 + (seed + turn) % 9, seed=10 * seed + turn)
                if (seed + turn) % 2:
                    found = accelerator.submit(raw, then=lambda values: values).result(30)
                else:
                    found = accelerator.infer_codes(raw)
                wrong.append(int((found != toy_core.expected(raw)).sum()))

        threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert wrong == [0] * 16


def test_one_submitted_batch_that_fails_takes_no_other_with_it(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    batches = [toy_core.frames(count, seed=count) for count in (7, 6, 5, 9)]
    with driver.Accelerator(max_batch=4, timeout_s=0.2) as accelerator:
        with accelerator._one_at_a_time:
            board.fault(True, 5, after=20)
            futures = [accelerator.submit(batch) for batch in batches]
        with pytest.raises(driver.AcceleratorError, match="DMASlvErr"):
            futures[0].result(30)
        for batch, future in zip(batches[1:], futures[1:], strict=True):
            np.testing.assert_array_equal(future.result(30), toy_core.expected(batch) * 0.125)
        with pytest.raises(ValueError, match="must have shape"):
            accelerator.submit(batches[0][:, :2])


def test_a_result_that_cannot_be_computed_is_its_own_batchs_alone(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    raw = toy_core.frames(5)
    with driver.Accelerator(max_batch=2) as accelerator:
        with accelerator._one_at_a_time:
            wrong = accelerator.submit(raw, then=lambda values: values[99])
            good = accelerator.submit(raw)
        with pytest.raises(IndexError):
            wrong.result(30)
        np.testing.assert_array_equal(good.result(30), toy_core.expected(raw) * 0.125)
        with pytest.raises(IndexError):
            accelerator.submit(raw[:0], then=lambda values: values[99]).result(1)


def test_closing_ends_what_waits_and_finishes_what_moves(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    accelerator = driver.Accelerator()
    raw = toy_core.frames(4)
    first = accelerator.submit(raw)
    first.result(30)
    accelerator._one_at_a_time.acquire()
    taken, waiting, given_up = (accelerator.submit(raw) for _ in range(3))
    given_up.cancel()
    while not accelerator._worker[0]._open:
        pass  # until the first is taken
    closing = threading.Thread(target=accelerator.close, daemon=True)
    closing.start()
    while not accelerator._worker[0]._closing:
        pass
    accelerator._one_at_a_time.release()
    closing.join(30)
    assert not closing.is_alive()
    np.testing.assert_array_equal(taken.result(1), toy_core.expected(raw) * 0.125)
    with pytest.raises(driver.AcceleratorError, match="was closed"):
        waiting.result(1)
    with pytest.raises(CancelledError):
        given_up.result(1)
    assert board.memory == {} and board.freed_in_use == 0


def test_a_callback_may_close_but_not_use_the_accelerator(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    raw = toy_core.frames(4)
    told: list[BaseException] = []

    def use(values: np.ndarray) -> np.ndarray:
        try:
            accelerator.infer_codes(raw)
        except driver.AcceleratorError as error:
            told.append(error)
        return values

    with driver.Accelerator() as accelerator:
        accelerator.submit(raw, then=use).result(30)
        assert "callback cannot use" in str(told[0])
        done = threading.Event()
        future = accelerator.submit(raw)
        future.add_done_callback(lambda _: (accelerator.close(), done.set()))
        assert done.wait(30)
    assert board.memory == {}


def test_an_accelerator_that_is_forgotten_stops_the_dma_and_frees_its_memory(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    accelerator = driver.Accelerator()
    accelerator.infer_codes(toy_core.frames(3))
    assert board.memory
    del accelerator
    assert board.memory == {}
    # The FPGA is the newest one's; an older one of the process is closed, not broken.
    with driver.Accelerator() as older, driver.Accelerator() as newer:
        newer.infer_codes(toy_core.frames(3))
        with pytest.raises(driver.AcceleratorError, match="is closed"):
            older.infer_codes(toy_core.frames(3))


def test_throughput_states_each_part_and_names_the_slowest(
    driver: ModuleType, board: fake_board.FakeBoard
) -> None:
    with driver.Accelerator() as accelerator:
        found = accelerator.throughput(frames=64, repeat=2)
        parts = {name: found[f"fps_{name}"] for name in ("hardware", "transfer", "packing")}
        assert found["limited_by"] == min(parts, key=lambda name: parts[name])
        assert found["fps"] <= min(parts.values())
        for wrong in ({"frames": 0}, {"repeat": 0}):
            with pytest.raises(ValueError, match="at least one"):
                accelerator.throughput(**wrong)
