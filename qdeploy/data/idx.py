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


class IdxError(ValueError):
    """The bytes are not a complete idx file of unsigned bytes; the message says why."""


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array in an idx file; names ending in `.gz` are unpacked.

    Raises:
        IdxError: for a wrong magic number, a wrong length or a damaged gzip stream.
        OSError: when the file cannot be read.
    """
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise IdxError(f"its gzip stream is damaged or truncated ({error})") from error
    if len(raw) < 4 or raw[:3] != bytes((0, 0, _UNSIGNED_BYTE)):
        raise IdxError(f"it does not start like an idx file of bytes (first bytes {raw[:4].hex()})")
    axes = raw[3]
    start = 4 + 4 * axes
    if len(raw) < start:
        raise IdxError(f"its header ends after {len(raw)} of {start} bytes")
    shape = tuple(int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes))
    if len(raw) - start != prod(shape):
        raise IdxError(f"it has {len(raw) - start} bytes where {shape} needs {prod(shape)}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape).copy()
