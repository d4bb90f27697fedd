"""Weights of another network through the driver in C: loaded, read back, refused."""

from __future__ import annotations

import ctypes
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import bare_metal
import fake_board
import numpy as np
import pytest
from loadable_package import LoadablePackage
from numpy.testing import assert_array_equal

from qdeploy.design.loading import checksum
from qdeploy.design.weights_file import weights_file

OUT = 1 << 19


@pytest.fixture
def made(loadable_package: LoadablePackage) -> LoadablePackage:
    return loadable_package


@pytest.fixture
def board(made: LoadablePackage) -> Iterator[fake_board.FakeBoard]:
    found = fake_board.FakeBoard(made.model, made.package / "rtl")
    yield found
    found.close()


@pytest.fixture
def driver(made: LoadablePackage, board: fake_board.FakeBoard) -> bare_metal.BareMetal:
    """Not yet opened."""
    return bare_metal.BareMetal(made.library, board)


@pytest.fixture
def changed(
    made: LoadablePackage, board: fake_board.FakeBoard, tmp_path: Path
) -> Callable[[str, str], bare_metal.BareMetal]:
    """The driver with another text in qd_weights.c."""

    def make(old: str, new: str) -> bare_metal.BareMetal:
        folder = tmp_path / "bare_metal"
        shutil.copytree(made.package / "bare_metal", folder)
        text = (folder / bare_metal.LOADING).read_text()
        assert text.count(old) == 1
        (folder / bare_metal.LOADING).write_text(text.replace(old, new))
        library = bare_metal.build_driver(folder, made.model, tmp_path / "changed.so")
        return bare_metal.BareMetal(library, board)

    return make


def results(made: LoadablePackage, driver: bare_metal.BareMetal) -> np.ndarray:
    """All golden frames as one batch: the integers that come out."""
    packed = np.load(made.package / "golden/golden.npz")["packed"]
    count, beat = len(packed), made.swapped.design.output
    driver.memory(0, packed.size)[:] = packed.reshape(-1)
    assert driver.run(count) == "OK"
    values = (ctypes.c_int64 * (count * beat.elements))()
    driver.code.qd_unpack(
        ctypes.c_void_p(driver.start + OUT),
        *map(ctypes.c_size_t, (count * beat.beats, beat.per_beat)),
        ctypes.c_size_t(
            json.loads((made.package / "bundle.json").read_text())["output"]["dma_bytes_per_beat"]
        ),
        ctypes.c_uint32(beat.bits),
        int(beat.signed),
        values,
    )
    return np.array(values).reshape(count, -1)


def load(driver: bare_metal.BareMetal, file: bytes) -> str:
    """Read a whole file and load it."""
    status, weights = driver.read_weights(file)
    assert status == "OK"
    return driver.load(weights)


def test_two_networks_take_turns_and_each_passes_its_own_selftest(
    made: LoadablePackage, driver: bare_metal.BareMetal
) -> None:
    assert driver.open() == "OK"
    for which in (None, 1, 0, 1):
        network = which or 0
        if which is not None:
            assert load(driver, made.files[which]) == "OK"
        assert driver.device.weights_crc == checksum(made.swapped.images[network])
        status, report = driver.selftest()
        assert (status, report.batch_mismatches, report.single_mismatches) == ("OK", 0, 0)
        assert_array_equal(results(made, driver), made.outputs[network])


def test_the_selftest_compares_with_the_loaded_networks_results(
    made: LoadablePackage, driver: bare_metal.BareMetal
) -> None:
    assert driver.open() == "OK"
    identity = f"{struct.unpack_from('<I', made.files[1], 8)[0]:08x}"
    wrong = made.outputs[1].copy()
    wrong[0, 1] -= 1
    assert load(driver, weights_file(identity, made.swapped.images[1], wrong)) == "OK"
    status, report = driver.selftest()
    assert (status, report.batch_mismatches, report.single_mismatches) == ("MISMATCH", 1, 1)
    assert (report.frame, report.element) == (0, 1)
    assert (report.found, report.expected) == (made.outputs[1][0, 1], wrong[0, 1])


def test_weights_that_another_program_left_have_to_be_loaded_again(
    made: LoadablePackage, driver: bare_metal.BareMetal
) -> None:
    assert driver.open() == "OK"
    assert load(driver, made.files[1]) == "OK"
    assert driver.open() == "OK"
    assert driver.run(1) == driver.selftest()[0] == "WEIGHTS_UNKNOWN"
    assert load(driver, made.files[0]) == "OK"
    # These are the bitstream's own.
    assert driver.open() == "OK"
    assert driver.selftest()[0] == "OK"


def test_a_batch_that_is_under_way_is_finished_first(
    made: LoadablePackage, driver: bare_metal.BareMetal
) -> None:
    assert driver.open() == "OK"
    status, weights = driver.read_weights(made.files[1])
    assert driver.begin(len(made.outputs[0])) == "OK"
    assert driver.load(weights) == "ARGUMENT"
    while (status := driver.poll()) == "BUSY":
        pass
    assert status == "OK"
    assert_array_equal(results(made, driver), made.outputs[0])


def with_words(file: bytes, *, seal: bool, **words: int) -> bytes:
    """The file with other words in its header; `seal`: and the checksum that belongs to it."""
    places = {"magic": 0, "format": 4, "design": 8, "bytes": 12, "frames": 20, "elements": 24}
    content = bytearray(file[:-4])
    for name, value in words.items():
        struct.pack_into("<I", content, places[name], value)
    return bytes(content) + (struct.pack("<I", zlib.crc32(content)) if seal else file[-4:])


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("nothing", "WEIGHTS_FILE"),
        ("no file of weights", "WEIGHTS_FILE"),
        ("another version", "WEIGHTS_FILE"),
        ("one bit", "WEIGHTS_FILE"),
        ("cut", "WEIGHTS_FILE"),
        ("longer than can be", "WEIGHTS_FILE"),
        ("more results than can be", "WEIGHTS_FILE"),
        ("another design", "WEIGHTS_DESIGN"),
        ("another image", "WEIGHTS_DESIGN"),
        ("too few results", "WEIGHTS_DESIGN"),
    ],
)
def test_other_files_are_refused_and_nothing_changes(
    made: LoadablePackage, driver: bare_metal.BareMetal, kind: str, status: str
) -> None:
    good = made.files[1]
    image, outputs = made.swapped.images[1], made.outputs[1]
    identity = f"{struct.unpack_from('<I', good, 8)[0]:08x}"
    bad = {
        "nothing": b"",
        "no file of weights": with_words(good, seal=True, magic=0x04034B50),
        "another version": with_words(good, seal=True, format=2),
        "one bit": good[:100] + bytes([good[100] ^ 8]) + good[101:],
        "cut": good[:-1],
        "longer than can be": with_words(good, seal=True, bytes=0xFFFFFFFF),
        "more results than can be": with_words(
            good, seal=True, frames=0x80000001, elements=0x80000001
        ),
        "another design": with_words(good, seal=True, design=0x12345678),
        "another image": weights_file(identity, image + b"\0", outputs),
        "too few results": weights_file(identity, image, outputs[:1]),
    }[kind]
    assert driver.open() == "OK"
    assert driver.read_weights(bad)[0] == status
    assert driver.device.weights_crc == checksum(made.swapped.images[0])
    assert driver.selftest()[0] == "OK"


def test_a_file_in_a_larger_memory_is_found(
    made: LoadablePackage, driver: bare_metal.BareMetal
) -> None:
    assert driver.read_weights(made.files[1] + b"\xff" * 50)[0] == "OK"
    assert driver.read_weights(made.files[1], len(made.files[1]) - 1)[0] == "WEIGHTS_FILE"


def test_the_checksum_is_zlibs(driver: bare_metal.BareMetal) -> None:
    driver.code.qd_crc32.restype = ctypes.c_uint32
    random = np.random.default_rng(5)
    for size in (0, 1, 2, 3, 255, 4096):
        data = random.bytes(size)
        assert driver.code.qd_crc32(data, ctypes.c_size_t(size)) == zlib.crc32(data)


def test_an_image_that_changes_on_its_way_is_told_by_the_checksum_read_back(
    made: LoadablePackage, driver: bare_metal.BareMetal
) -> None:
    assert driver.open() == "OK"
    _, weights = driver.read_weights(made.files[1])
    # Memory that fails after the file was checked.
    image = (ctypes.c_uint8 * len(made.swapped.images[1])).from_address(weights.image)
    image[7] ^= 1
    assert driver.load(weights) == "WEIGHTS_CRC"
    assert driver.run(1) == "WEIGHTS_UNKNOWN"
    image[7] ^= 1
    assert driver.load(weights) == "OK"
    assert driver.selftest()[0] == "OK"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("? LAST : 0u;", "? 0u : 0u;"),
        ("at == QD_WEIGHTS_BYTES - 1u", "at == QD_WEIGHTS_BYTES - 2u"),
        ("at += WORD) {", "at += WORD) if (at > 8u) {"),
    ],
    ids=["no end", "ends early", "a word is left out"],
)
def test_a_core_that_does_not_take_the_image_is_told_and_recovers(
    made: LoadablePackage, old: str, new: str, changed: Callable[[str, str], bare_metal.BareMetal]
) -> None:
    driver = changed(old, new)
    assert driver.open() == "OK"
    assert load(driver, made.files[1]) == "WEIGHTS_REFUSED"
    assert driver.last.recovered
    assert driver.run(1) == "WEIGHTS_UNKNOWN"
    # A program that starts now finds an image that was cut off.
    assert driver.open() == "OK"
    assert driver.run(1) == "WEIGHTS_UNKNOWN"


def test_a_design_whose_weights_never_change_has_no_loading(toy_package: Path) -> None:
    folder = toy_package / "bare_metal"
    assert not list(folder.glob("qd_weights*"))
    assert "#define QD_WEIGHTS_BYTES 0u" in (folder / "qd_design.h").read_text()
