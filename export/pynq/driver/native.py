"""Packing in C (`native.c`), compiled on the board when the driver is first used there.

Where there is no C compiler, where the driver's folder cannot be written, or where a result differs
from numpy's, numpy does the work as before: `packing` of `Accelerator.throughput` says which.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from .input_codes import InputPreparation
from .input_tables import input_tables

SOURCE = Path(__file__).with_name("native.c")
HEADER = SOURCE.with_suffix(".h")
# No calls of memset for paddings of a few bytes: they cost more than the rest of a beat.
FLAGS = ("-O2", "-fno-tree-loop-distribute-patterns", "-std=gnu99", "-fPIC", "-shared")
COMPILERS = ("cc", "gcc", "clang")
COMPILE_SECONDS = 120


class _Input(ctypes.Structure):
    """`qd_input` of native.h."""

    _fields_ = (
        ("frames", ctypes.c_size_t),
        ("elements", ctypes.c_size_t),
        ("per_beat", ctypes.c_size_t),
        ("dma_bytes", ctypes.c_size_t),
        ("bits", ctypes.c_uint32),
        ("low", ctypes.c_int32),
        ("span", ctypes.c_uint32),
        ("order", ctypes.c_void_p),
        ("row", ctypes.c_void_p),
        ("table", ctypes.c_void_p),
    )


def library() -> ctypes.CDLL | None:
    """The compiled code; compiles it where that was not done yet. None where it cannot be had."""
    try:
        text = HEADER.read_bytes() + SOURCE.read_bytes()
        key = hashlib.sha256(text + " ".join(FLAGS).encode()).hexdigest()[:16]
        path = SOURCE.with_name(f"native-{platform.machine()}-{key}.so")
        found = _loaded(path) if path.is_file() else None
        return found or (_loaded(path) if _compiled(path) else None)
    except OSError:
        return None


def _loaded(path: Path) -> ctypes.CDLL | None:
    try:
        found = ctypes.CDLL(str(path))
        for name in ("qd_pack_u8", "qd_pack_i32", "qd_unpack"):
            getattr(found, name).restype = None
    except (OSError, AttributeError):
        return None
    return found


def _compiled(path: Path) -> bool:
    compiler = next((one for one in map(shutil.which, COMPILERS) if one), None)
    if compiler is None or not os.access(path.parent, os.W_OK):
        return False
    # Two processes may compile at once; each file is complete when it gets its name.
    half = path.with_suffix(f".{os.getpid()}.tmp")
    command = [compiler, *FLAGS, "-x", "c", str(SOURCE), "-o", str(half)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_SECONDS)
        half.replace(path)
    except (OSError, subprocess.SubprocessError):
        return False
    finally:
        if half.exists():
            half.unlink()
    return True


class NativePacking:
    """The packing of one accelerator.

    Args:
        source, sink: `input` and `output` of its bundle.
        preparation: of its input.

    Raises:
        ValueError: it is outside of what `native.c` does.
    """

    def __init__(
        self,
        code: ctypes.CDLL,
        source: dict[str, Any],
        sink: dict[str, Any],
        preparation: InputPreparation,
    ) -> None:
        self._code, self._source, self._sink = code, source, sink
        made = input_tables(
            preparation, source["bits"], source["shift"], source["range"], source["raw_range"]
        )
        self._low, self._span = made.low, made.span
        self._order, self._row, self._table = made.order, made.row, made.table
        # Bytes that stay where they are: there is no faster way than a copy.
        full = source["bits"] * source["per_beat"] == 8 * source["dma_bytes_per_beat"]
        self._copies = made.table is None and made.order is None and source["bits"] == 8 and full

    def pack(self, batch: np.ndarray, out: np.ndarray) -> None:
        """As `Layout.to_beats`, of checked integers (N, *data_shape)."""
        if self._copies and batch.dtype == np.uint8:
            out.reshape(batch.shape)[...] = batch
            return
        self._pack(batch, out, self._order, self._row, self._table)

    def pack_codes(self, codes: np.ndarray, out: np.ndarray) -> None:
        """The beats of codes (N, elements) in the order of the stream."""
        self._pack(codes, out, None, None, None)

    def unpack(self, data: np.ndarray) -> np.ndarray:
        """As `Layout.from_beats`, flat."""
        sink = self._sink
        data = np.ascontiguousarray(data, dtype=np.uint8)
        count = len(data) * sink["beats"]
        found = np.empty(count * sink["per_beat"], dtype=np.int64)
        self._code.qd_unpack(
            ctypes.c_void_p(data.ctypes.data),
            ctypes.c_size_t(count),
            ctypes.c_size_t(sink["per_beat"]),
            ctypes.c_size_t(sink["dma_bytes_per_beat"]),
            ctypes.c_uint32(sink["bits"]),
            ctypes.c_int(sink["signed"]),
            ctypes.c_void_p(found.ctypes.data),
        )
        return found

    def _pack(
        self,
        values: np.ndarray,
        out: np.ndarray,
        order: np.ndarray | None,
        row: np.ndarray | None,
        table: np.ndarray | None,
    ) -> None:
        source = self._source
        narrow = values.dtype == np.uint8
        values = np.ascontiguousarray(values, dtype=np.uint8 if narrow else np.int32)
        beats = len(values) * source["beats"] * source["dma_bytes_per_beat"]
        if not out.flags.c_contiguous or out.dtype != np.uint8 or out.size != beats:
            raise ValueError(f"beats of {beats} bytes do not go into {out.shape} {out.dtype}")

        def address(array: np.ndarray | None) -> int | None:
            return None if array is None else array.ctypes.data

        given = _Input(
            len(values),
            source["elements"],
            source["per_beat"],
            source["dma_bytes_per_beat"],
            source["bits"],
            self._low,
            self._span,
            address(order),
            address(row),
            address(table),
        )
        function = self._code.qd_pack_u8 if narrow else self._code.qd_pack_i32
        function(
            ctypes.byref(given),
            ctypes.c_void_p(values.ctypes.data),
            ctypes.c_void_p(out.ctypes.data),
        )
