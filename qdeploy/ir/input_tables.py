"""An input preparation as tables for C: what `qd_input` of a package's native.h points at.

    code[e] = table[row[e], raw[order[e]] - low]       e in the order of the stream (H, W, C)

Numpy only, Python 3.9: packages carry a copy of this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .input_codes import InputPreparation  # beside it in packages too

# Bits of a code, and entries of a table, that native.c takes.
MAX_BITS, MAX_ENTRIES = 16, 1 << 20


@dataclass(frozen=True)
class InputTables:
    """The tables.

    Args:
        low: the raw integer of a row's first entry.
        span: entries of a row.
        order: (elements,) place in the raw frame of each element of the stream; None where they
            are in its order.
        row: (elements,) row of the table of each element of the stream; None for one row.
        table: (rows, span) codes, the bits above theirs 0; None where the raw integer is the code.
    """

    low: int
    span: int
    order: npt.NDArray[np.uint32] | None
    row: npt.NDArray[np.uint16] | None
    table: npt.NDArray[np.uint16] | None


def input_tables(
    preparation: InputPreparation,
    bits: int,
    shift: int,
    limits: Sequence[int],
    raw_range: Sequence[int],
) -> InputTables:
    """The tables of an input.

    Args:
        bits: of a code in the stream.
        shift: code = raw >> shift, clipped to `limits`, where raw values are bytes whose upper
            bits are the codes; 0 otherwise.
        raw_range: smallest and largest integer that is taken.

    Raises:
        ValueError: codes or tables are too large.
    """
    low, high = raw_range
    span = high - low + 1
    rows = 1 if preparation.axis is None else len(preparation.thresholds)
    fits = -(1 << 31) <= low <= high < 1 << 31
    if bits > MAX_BITS or span * rows > MAX_ENTRIES or not fits:
        raise ValueError("codes, or tables, that are too large")
    values = np.arange(low, high + 1)
    if preparation.raw is not None and not preparation.takes_codes:
        table = preparation.table
    elif shift:
        table = np.clip(values >> shift, limits[0], limits[1])[np.newaxis]
    else:
        table = values[np.newaxis]
    mask = (1 << bits) - 1
    plain = len(table) == 1 and bool(((table[0] & mask) == (values & mask)).all())
    shape = preparation.shape
    elements = int(np.prod(shape))
    order = _in_stream(preparation, np.arange(elements).reshape(1, *shape))
    same = bool((order == np.arange(elements)).all())
    row = None
    if not plain and len(table) > 1 and preparation.axis is not None:
        places = np.arange(len(table)).reshape(
            [-1 if axis == preparation.axis else 1 for axis in range(len(shape))]
        )
        row = _in_stream(preparation, np.broadcast_to(places, (1, *shape))).astype(np.uint16)
    return InputTables(
        low,
        span,
        None if same else order.astype(np.uint32),
        row,
        None if plain else np.ascontiguousarray(table & mask, dtype=np.uint16),
    )


def _in_stream(
    preparation: InputPreparation, frame: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """A frame's values (1, *shape) in the order of the stream."""
    arranged = preparation.arrange(frame)
    if arranged.ndim == 4:
        arranged = arranged.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(arranged).reshape(-1)
