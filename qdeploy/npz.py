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
from typing import IO, Any

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


def npz_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays of an archive.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such archive, or damaged.
    """
    try:
        with zipfile.ZipFile(str(path)) as archive:
            found = [name for name in archive.namelist() if name.endswith(".npy")]
    except _DAMAGED as error:
        raise ValueError(str(error) or type(error).__name__) from error
    return tuple(name[: -len(".npy")] for name in found)


def read_npy(path: Path, most: int = MAX_BYTES) -> npt.NDArray[Any]:
    """The array of a file of one.

    Args:
        most: bytes of the file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, damaged, or larger than `most`.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size > most:
                raise ValueError(f"it has {size:,} bytes, more than {most:,}")
            file.seek(0)
            return _parsed(file, size, path.name)
    except _DAMAGED as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as file:
        return _parsed(file, entry.file_size, name)


def _parsed(file: IO[bytes], size: int, name: str) -> npt.NDArray[Any]:
    if npy.read_magic(file) != (1, 0):
        raise ValueError(f"`{name}` is of another version of numpy's format")
    shape, by_column, kind = npy.read_array_header_1_0(file)
    room = size - file.tell()
    if kind.hasobject or prod(shape) * kind.itemsize != room:
        raise ValueError(f"`{name}` declares {shape} of {kind} in {room:,} bytes")
    data = file.read(room + 1)
    flat: npt.NDArray[Any] = np.frombuffer(data, kind)
    return flat.reshape(shape, order="F" if by_column else "C").copy()
