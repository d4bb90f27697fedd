"""The package's driver against the package's RTL: the real register protocol, real packing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import fake_board
import numpy as np
import pytest
import toy_core

from qdeploy.self_digest import with_digest

Load = Callable[..., ModuleType]


@pytest.fixture(autouse=True)
def bitstream(toy_package: Path) -> None:
    """Stand-ins for the files Vivado makes."""
    folder = toy_package / "bitstream"
    folder.mkdir(exist_ok=True)
    fake_board.bit_file(folder / "accelerator.bit")


def test_the_selftest_passes_and_counts_every_integer(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    with load_driver(toy_package, board).Accelerator() as accelerator:
        report = accelerator.selftest()
    assert report["passed"] is True
    assert report["frames"] == 20
    assert report["codes"] == 20 * 5
    assert report["first"] is None
    assert report["long_batch_frames"] == 1025
    assert board.transfers == 1 + 20 + 2


def test_a_batch_longer_than_one_transfer_is_part_of_the_selftest(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    with load_driver(toy_package, board).Accelerator(max_batch=40) as accelerator:
        begin, sizes = accelerator._board.begin, []
        unpack = accelerator.layout.from_beats

        def counted(frames: int, *rest: Any) -> None:
            sizes.append(frames)
            begin(frames, *rest)

        def spoiled(data: np.ndarray) -> np.ndarray:
            values = unpack(data)
            if sizes == [20, *[1] * 20, 40, 1] and len(data) == 1:
                values[0] ^= 1
            return values

        accelerator._board.begin = counted
        accelerator.layout.from_beats = spoiled
        report = accelerator.selftest()
    assert sizes == [20, *[1] * 20, 40, 1]
    assert report["passed"] is False and report["long_batch_mismatches"] > 0
    assert report["batch_mismatches"] == report["single_mismatches"] == 0
    assert report["first"]["frame"] == 40


def test_a_slow_design_gets_a_batch_of_two_transfers_that_take_seconds(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    with load_driver(toy_package, board).Accelerator() as accelerator:
        accelerator.bundle["cycles_per_frame"] = 10**8
        report = accelerator.selftest()
        assert accelerator.max_batch == 1024
    assert report["passed"] is True and report["long_batch_frames"] == 20
    assert board.transfers == 1 + 20 + 2


def test_the_selftest_names_the_first_integer_that_differs(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    path = toy_package / "golden/golden.npz"
    saved = path.read_bytes()
    with np.load(path) as data:
        changed = dict(data)
    changed["outputs"][7, 3] += 1
    try:
        np.savez(path, **changed)
        with load_driver(toy_package, board).Accelerator() as accelerator:
            report = accelerator.selftest()
    finally:
        path.write_bytes(saved)
    assert report["passed"] is False
    assert report["batch_mismatches"] == 1
    assert report["single_mismatches"] == 1
    assert report["long_batch_mismatches"] == 51
    assert report["packing_mismatches"] == 0
    assert (report["first"]["frame"], report["first"]["element"]) == (7, 3)


def test_a_batch_larger_than_a_transfer_is_cut_and_put_together(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    raw = toy_core.frames(23, seed=5)
    with load_driver(toy_package, board).Accelerator(max_batch=5) as accelerator:
        found = accelerator.infer_codes(raw)
    assert board.transfers == 5
    np.testing.assert_array_equal(found, toy_core.expected(raw))


def test_logits_are_integers_times_the_scale_and_classes_their_largest(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    raw = toy_core.frames(9, seed=6)
    wanted = toy_core.expected(raw)
    with load_driver(toy_package, board).Accelerator() as accelerator:
        np.testing.assert_array_equal(accelerator.infer(raw), wanted * 0.125)
        classes = accelerator.classify(raw)
        np.testing.assert_array_equal(classes, wanted.argmax(axis=1))
        assert accelerator.names(classes)[0] == "abcde"[classes[0]]
        # One frame without a batch axis is a batch of one, no frames are no transfer.
        np.testing.assert_array_equal(accelerator.infer_codes(raw[3]), wanted[3:4])
        before = board.transfers
        assert accelerator.infer_codes(raw[:0]).shape == (0, 5)
        assert board.transfers == before


def rewrite(path: Path, **changes: Any) -> None:
    """A bundle with other values, as qdeploy itself would have written it."""
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(with_digest({**data, **changes})), encoding="utf-8")


def test_the_clock_comes_from_the_bundle_and_one_too_fast_is_refused(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    driver = load_driver(toy_package, board)
    with driver.Accelerator() as accelerator:
        assert accelerator.clock_mhz == 100.0
        assert board.mhz == 100.0
    path = toy_package / "bundle.json"
    saved = path.read_text(encoding="utf-8")
    try:
        rewrite(path, clock_mhz=50.0)
        board.slowest = 66.0
        with pytest.raises(driver.AcceleratorError, match="above the"):
            driver.Accelerator()
    finally:
        path.write_text(saved, encoding="utf-8")


def test_a_bitstream_of_another_design_is_refused(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    path = toy_package / "bundle.json"
    saved = path.read_text(encoding="utf-8")
    driver = load_driver(toy_package, board)
    try:
        rewrite(path, design_id="deadbeef")
        with pytest.raises(driver.AcceleratorError, match="built from another design"):
            driver.Accelerator()
    finally:
        path.write_text(saved, encoding="utf-8")


def test_a_transfer_that_hangs_is_reported_and_the_next_batch_is_right(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    raw = toy_core.frames(6, seed=7)
    driver = load_driver(toy_package, board)
    with driver.Accelerator(timeout_s=0.05) as accelerator:
        board.drop = 4  # the last beat of the last frame is lost
        with pytest.raises(driver.AcceleratorError, match=r"6 frames did not come back.*5 came"):
            accelerator.infer_codes(raw)
        board.drop = 0
        np.testing.assert_array_equal(accelerator.infer_codes(raw), toy_core.expected(raw))


def test_throughput_counts_the_cycles_of_the_hardware(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    board.pauses = 0
    with load_driver(toy_package, board).Accelerator() as accelerator:
        found = accelerator.throughput(frames=50, repeat=2)
    # Four beats in, five out, one frame after the other.
    assert found["cycles_per_frame"] == 9
    assert found["fps_hardware"] == pytest.approx(100e6 / 9)


def test_input_of_the_wrong_kind_is_refused_before_anything_moves(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    raw = toy_core.frames(2)
    with load_driver(toy_package, board).Accelerator() as accelerator:
        with pytest.raises(TypeError, match="must be integers"):
            accelerator.infer(raw.astype(np.float32))
        with pytest.raises(ValueError, match=r"shape \(N, 3, 2, 2\)"):
            accelerator.infer(raw.transpose(0, 2, 3, 1))
    assert board.transfers == 0


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 3, 2, 2), dtype=bool),
        np.zeros((2, 3, 2, 2), dtype=complex),
        np.zeros((2, 3, 2, 2), dtype=object),
        np.array(["a"]),
        None,
    ],
    ids=["bool", "complex", "object", "text", "none"],
)
def test_what_is_no_integer_is_refused(
    wrong: Any, toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    with load_driver(toy_package, board).Accelerator() as accelerator:
        for call in (accelerator.infer, accelerator.submit):
            with pytest.raises(TypeError, match="must be integers"):
                call(wrong)
    assert board.transfers == 0


@pytest.mark.parametrize("shape", [(), (12,), (3, 2), (2, 3, 2), (1, 2, 3, 2, 2), (2, 3, 2, 3)])
def test_other_shapes_are_refused(
    shape: tuple[int, ...], toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    with (
        load_driver(toy_package, board).Accelerator() as accelerator,
        pytest.raises(ValueError, match=r"shape \(N, 3, 2, 2\)"),
    ):
        accelerator.infer(np.zeros(shape, dtype=np.uint8))
    assert board.transfers == 0


@pytest.mark.parametrize("value", [-1, 256, 2**31, -(2**40), 2**63])
def test_integers_out_of_range_are_refused_and_never_wrapped(
    value: int, toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    raw = toy_core.frames(3).astype(np.uint64 if value >= 2**63 else np.int64)
    raw[2, 1, 1, 1] = value
    with (
        load_driver(toy_package, board).Accelerator() as accelerator,
        pytest.raises(ValueError, match="must be from 0 to 255"),
    ):
        accelerator.infer(raw)
    assert board.transfers == 0


def test_arrays_of_any_order_type_and_stride_give_the_same_results(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    raw = toy_core.frames(8, seed=12)
    wanted = toy_core.expected(raw)
    read_only = raw.copy()
    read_only.setflags(write=False)
    padded = np.zeros((16, 5, 4, 4), dtype=np.int16)
    padded[::2, 1:4, ::2, 1:3] = raw
    same = {
        "by column": np.asfortranarray(raw),
        "channels last": np.ascontiguousarray(raw.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "backwards": np.ascontiguousarray(raw[::-1])[::-1],
        "part of another": padded[::2, 1:4, ::2, 1:3],
        "big end first": raw.astype(">i4"),
        "wide": raw.astype(np.uint64),
        "read only": read_only,
        "list": raw.tolist(),
    }
    with load_driver(toy_package, board).Accelerator() as accelerator:
        for name, array in same.items():
            np.testing.assert_array_equal(accelerator.infer_codes(array), wanted, err_msg=name)
        # One frame for all of a batch, without memory of its own.
        one = np.broadcast_to(raw[:1], (5, 3, 2, 2))
        np.testing.assert_array_equal(accelerator.infer_codes(one), wanted[[0] * 5])


def test_buffers_go_back_when_the_accelerator_is_closed(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    with load_driver(toy_package, board).Accelerator() as accelerator:
        accelerator.infer_codes(toy_core.frames(3))
        assert len(board.memory) == 2
    assert board.memory == {} and board.freed_in_use == 0


def test_without_a_bitstream_the_driver_says_how_to_build_it(
    toy_package: Path, board: fake_board.FakeBoard, load_driver: Load
) -> None:
    driver = load_driver(toy_package, board)
    (toy_package / "bitstream/accelerator.hwh").unlink()
    with pytest.raises(driver.AcceleratorError, match="make bitstream"):
        driver.Accelerator()


def test_the_command_line_runs_the_selftest_and_prints_json(
    toy_package: Path,
    board: fake_board.FakeBoard,
    load_driver: Load,
    capsys: pytest.CaptureFixture[str],
) -> None:
    load_driver(toy_package, board)
    from driver.__main__ import main

    assert main(["selftest"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True
    assert main(["throughput", "--frames", "0"]) == 2
    assert capsys.readouterr().err == "error: at least one frame, and one run\n"
    board.interrupt = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    assert main(["selftest"]) == 130
    board.interrupt = None
    (toy_package / "bitstream/accelerator.bit").unlink()
    assert main(["selftest"]) == 2
    assert "error: there is no" in capsys.readouterr().err


def test_info_finds_a_damaged_file(
    toy_package: Path, load_driver: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    load_driver(toy_package)
    from driver.__main__ import main

    assert main(["info"]) == 0
    path = toy_package / "rtl/toy_weights.hex"
    saved = path.read_text(encoding="utf-8")
    try:
        path.write_text(saved.replace(saved[0], "0" if saved[0] != "0" else "1", 1))
        capsys.readouterr()
        assert main(["info"]) == 1
        assert "rtl/toy_weights.hex" in capsys.readouterr().out
    finally:
        path.write_text(saved, encoding="utf-8")


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace('"clock_mhz": 100.0', '"clock_mhz": 140.0'),
        lambda text: text.replace('"shift": 0', '"shift": 1'),
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "digest"}),
        lambda text: json.dumps({**json.loads(text), "more": 1}),
        lambda text: "[]",
    ],
    ids=["clock", "shift", "no digest", "another key", "a list"],
)
def test_a_bundle_edited_by_hand_is_refused_by_driver_and_info(
    edit: Callable[[str], str],
    toy_package: Path,
    board: fake_board.FakeBoard,
    load_driver: Load,
    capsys: pytest.CaptureFixture[str],
) -> None:
    driver = load_driver(toy_package, board)
    from driver.__main__ import main
    from driver.bundle import BundleError

    path = toy_package / "bundle.json"
    saved = path.read_text(encoding="utf-8")
    try:
        assert edit(saved) != saved
        path.write_text(edit(saved), encoding="utf-8")
        with pytest.raises(BundleError, match=r"bundle\.json"):
            driver.Accelerator()
        assert main(["info"]) == 2
        assert "bundle.json" in capsys.readouterr().err
        # The same values laid out in another way are the same bundle.
        path.write_text(json.dumps(json.loads(saved), sort_keys=True), encoding="utf-8")
        assert main(["info"]) == 0
    finally:
        path.write_text(saved, encoding="utf-8")
