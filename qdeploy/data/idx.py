"""The idx format: a big-endian header and raw bytes, plain or gzipped.

byte 0, 1   0, 0
byte 2      element type, 8 = unsigned byte
byte 3      number of axes
then        one 32-bit length per axis, then the elements, last axis fastest
"""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

_UNSIGNED_BYTE = 8
# Unpacked; the largest published file has 47 MB.
MAX_BYTES = 1 << 28
_MAX_AXES = 4


class IdxError(ValueError):
    """The bytes are not a complete idx file of unsigned bytes; the message says why."""


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array in an idx file; names ending in `.gz` are unpacked.

    Raises:
        IdxError: for a wrong magic number, a wrong length or a damaged gzip stream.
        OSError: when the file cannot be read.
    """
    if path.suffix == ".gz":
        try:
            with gzip.open(path) as packed:
                raw = packed.read(MAX_BYTES + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise IdxError(f"its gzip stream is damaged or truncated ({error})") from error
    else:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise IdxError(f"it holds more than {MAX_BYTES:,} bytes")
    if len(raw) < 4 or raw[:3] != bytes((0, 0, _UNSIGNED_BYTE)):
        raise IdxError(f"it does not start like an idx file of bytes (first bytes {raw[:4].hex()})")
    axes = raw[3]
    if not 1 <= axes <= _MAX_AXES:
        raise IdxError(f"it has {axes} axes")
    start = 4 + 4 * axes
    if len(raw) < start:
        raise IdxError(f"its header ends after {len(raw)} of {start} bytes")
    shape = tuple(int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes))
    if len(raw) - start != prod(shape):
        raise IdxError(f"it has {len(raw) - start} bytes where {shape} needs {prod(shape)}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape).copy()
