"""Arrays of an archive of numpy's, read without unpacking more than it says it holds.

An entry declares its size twice, in the archive and as the shape of its array. Both are bounded and
compared before anything is unpacked or allocated; no pickle is read. Numpy only, Python 3.9:
packages carry a copy of this file.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

MAX_BYTES = 1 << 30
# What zipfile, zlib and numpy's reader of headers, which parses Python, end with on damaged bytes.
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(
    path: Path, names: Sequence[str], most: int = MAX_BYTES
) -> tuple[npt.NDArray[Any], ...]:
    """The arrays called `names`.

    Args:
        most: bytes of all arrays of the archive together.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such archive, damaged, larger than `most`, or lacks an array.
    """
    try:
        with zipfile.ZipFile(str(path)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > most:
                raise ValueError(f"it unpacks to {size:,} bytes, more than {most:,}")
            return tuple(_array(archive, name) for name in names)
    except _DAMAGED as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as file:
        if npy.read_magic(file) != (1, 0):
            raise ValueError(f"`{name}` is of another version of numpy's format")
        shape, by_column, kind = npy.read_array_header_1_0(file)
        room = entry.file_size - file.tell()
        if kind.hasobject or prod(shape) * kind.itemsize != room:
            raise ValueError(f"`{name}` declares {shape} of {kind} in {room:,} bytes")
        data = file.read(room + 1)
    flat: npt.NDArray[Any] = np.frombuffer(data, kind)
    return flat.reshape(shape, order="F" if by_column else "C").copy()
