"""Pickles of a dictionary with numbers, text and numpy arrays, read without running code they name.

Unpickling calls whatever a pickle names. Only the names that numpy uses for arrays are found here,
and they are bound to functions of our own: numpy's modify its types in place, so that damaged bytes
corrupt them for the whole program or crash it.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from typing import Any

import numpy as np
import numpy.typing as npt

# What the unpickler raises on damaged bytes; its documentation names a few and says that there are
# more.
_RAISED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    SystemError,
    TypeError,
    ValueError,
)
_KIND = re.compile(r"b1|[iu][1248]|f[248]")
_ORDERS = ("<", ">", "|", "=")


class ArrayPickleError(ValueError):
    """The bytes are not a complete pickle of such a dictionary; the message says why."""


def read_pickle(raw: bytes) -> dict[str, Any]:
    """The dictionary in a pickle of any protocol, also of Python 2; arrays are laid out by rows.

    Raises:
        ArrayPickleError: for bytes that are truncated or damaged, or name anything but arrays.
    """
    try:
        _check_memo(raw)
        content = _Unpickler(io.BytesIO(raw), encoding="bytes").load()
        if not isinstance(content, dict):
            raise ArrayPickleError(f"it contains a {type(content).__name__}, not a dictionary")
        return {
            _text(key): value.array if isinstance(value, _Array) else value
            for key, value in content.items()
        }
    except ArrayPickleError:
        raise
    except _RAISED as error:
        raise ArrayPickleError(str(error) or type(error).__name__) from error


def _check_memo(raw: bytes) -> None:
    """Reject memo indices beyond the pickle's length: the unpickler would allocate memory for all
    smaller ones."""
    for code, index, _ in pickletools.genops(raw):
        if code.name in ("PUT", "LONG_BINPUT") and isinstance(index, int) and index > len(raw):
            raise ArrayPickleError(f"it stores an object at memo index {index:,}")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class _Dtype:
    """Stands in for `numpy.dtype`: bool, integers and floating point of up to 8 bytes."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = _text(name)
        if not _KIND.fullmatch(self.name):
            raise ArrayPickleError(f"an array has elements of type {self.name[:20]!r}")
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])
        if self.order not in _ORDERS:
            raise ArrayPickleError(f"an array has the byte order {self.order[:20]!r}")

    def dtype(self) -> np.dtype[Any]:
        """numpy's type."""
        return np.dtype(self.order + self.name)


class _Array:
    """Stands in for `numpy.ndarray`: created empty, then filled."""

    def __init__(self) -> None:
        self.array: npt.NDArray[Any] = np.empty(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_column, content = state
        self.array = _array(content, kind, shape, "F" if by_column else "C")


def _array(content: Any, kind: _Dtype, shape: Any, order: Any) -> npt.NDArray[Any]:
    if not isinstance(content, (bytes, bytearray)):
        raise ArrayPickleError(f"an array is filled with a {type(content).__name__}")
    flat: npt.NDArray[Any] = np.frombuffer(content, kind.dtype())
    return flat.reshape(shape, order=order).copy()


def _empty(*_: Any) -> _Array:
    return _Array()


def _number(kind: _Dtype, content: Any) -> Any:
    return _array(content, kind, (), "C")[()]


def _bytes(text: str, *_: Any) -> bytes:
    return text.encode("latin-1")


_NAMES = {
    ("_codecs", "encode"): _bytes,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _empty,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy.core.numeric", "_frombuffer"): _array,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _NAMES.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks to run `{module}.{name}`, which is not allowed")
        return found
