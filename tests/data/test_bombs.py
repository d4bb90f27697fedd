"""Files of data sets and builds that are small and declare or unpack to gigabytes."""

from __future__ import annotations

import contextlib
import gzip
import time
import tracemalloc
import wave
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qdeploy.bounded import TooMuchError, read_some
from qdeploy.data.files import read_image, read_mask
from qdeploy.data.fsdd import read_wav
from qdeploy.data.idx import MAX_BYTES, IdxError, read_idx
from qdeploy.errors import DataError, UserError
from qdeploy.verify.frames import load_frames

SECONDS, MEBIBYTES = 10, 1024
ZEROS = bytes(1 << 20)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """What happens inside takes few seconds and no gigabyte."""
    start = time.monotonic()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < SECONDS
    assert peak < MEBIBYTES << 20


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A grey PNG that declares a size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        whole = name + body
        return len(body).to_bytes(4, "big") + whole + zlib.crc32(whole).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = chunk(b"IHDR", size + bytes((8, 0, 0, 0, 0)))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_gzip_stream_of_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(2 * MAX_BYTES // len(ZEROS)):
            file.write(ZEROS)
    assert path.stat().st_size < MAX_BYTES // 100
    with bounded(), pytest.raises(IdxError, match="holds more than"):
        read_idx(path)


@pytest.mark.parametrize("axes", [3, 200])
def test_an_idx_header_that_declares_terabytes_is_refused(axes: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes((0, 0, 8, axes)) + b"\xff" * 4 * axes + b"few")
    with bounded(), pytest.raises(IdxError):
        read_idx(path)


@pytest.mark.parametrize("size", [(20_000, 20_000), (1 << 30, 1), (1, 1 << 30)])
def test_images_that_declare_more_pixels_than_any_are_not_decoded(
    size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png(*size, zlib.compress(ZEROS)))
    with bounded(), pytest.raises(DataError, match="damaged"):
        read_image(path, "the set")
    with bounded(), pytest.raises(DataError, match="damaged"):
        read_mask(path, "the set", size, 3, 255)


def test_a_recording_that_declares_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0_theo_0.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(100))
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = (0xFFFFFF00).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with bounded(), pytest.raises(DataError):
        read_wav(path)


def test_an_archive_of_frames_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(
            tmp_path / "frames.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1
        ) as made,
        made.open("codes.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(1200):
            file.write(ZEROS)
    with bounded(), pytest.raises(UserError, match="no readable frames"):
        load_frames(tmp_path)


def test_an_array_that_declares_gigabytes_is_refused(tmp_path: Path) -> None:
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000000000, 12), }"
    head += b" " * (117 - len(head)) + b"\n"
    codes = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(24)
    np.savez(tmp_path / "frames.npz", raw=np.zeros((2, 12), np.uint8))
    with zipfile.ZipFile(tmp_path / "frames.npz", "a") as made:
        made.writestr("codes.npy", codes)
    with bounded(), pytest.raises(UserError, match="no readable frames"):
        load_frames(tmp_path)


def test_no_more_is_read_of_a_file_than_may_be_in_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with bounded(), pytest.raises(TooMuchError, match="more than 1,048,576 bytes"):
        read_some(path, 1 << 20)


def test_an_image_that_is_a_program_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    trace, tools = tmp_path / "trace", tmp_path / "tools"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch {trace}\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    path = tmp_path / "image.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    with pytest.raises(DataError, match="damaged"):
        read_image(path, "the set")
    assert not trace.exists()
