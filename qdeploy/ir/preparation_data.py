"""An input's preparation as JSON data and an array of integers, read on no trust.

    {"lo", "falling": [rows], "axis": place or null, "shape", "layout": [["reshape", [784]], …],
     "scale": "1/8" or null, "zero", "raw": {"lo", "hi", "scale", "zero"} or null}

The array has the thresholds as integers in the order of float32 numbers (`order_of`).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.ir.input_codes import (
    MAX_RAW_BITS,
    RESHAPE,
    TRANSPOSE,
    InputPreparation,
    RawType,
    Step,
    float_of,
    order_of,
)
from qdeploy.ir.json_data import (
    MAX_MAGNITUDE,
    FormatError,
    fraction_of,
    integer_of,
    integers_of,
    list_of,
    object_of,
    text_of,
)

# Key of the data in a graph, and name of the array.
PREPARATION = "preparation"
MAX_AXES = 8
MAX_STEPS = 16
# Elements of a frame, and of the table.
MAX_ELEMENTS = 1 << 26
_KEYS = ("lo", "falling", "axis", "shape", "layout", "scale", "zero", "raw")
_WHERE = "preparation"
_INFINITE = int(order_of(np.array([np.inf], dtype=np.float32))[0])


def preparation_of(data: Any, array: npt.NDArray[np.int64] | None) -> InputPreparation:
    """The preparation of its record and its array.

    Raises:
        FormatError: they are of another form.
    """
    item = object_of(data, _KEYS, _WHERE)
    if array is None or array.ndim != 2 or array.size > MAX_ELEMENTS:
        raise FormatError(f"{_WHERE}: its array is missing, or no table")
    if array.size and (int(array.min()) < -_INFINITE or int(array.max()) > _INFINITE):
        raise FormatError(f"{_WHERE}: its array holds no float32 numbers")
    shape = integers_of(item["shape"], None, 1, MAX_ELEMENTS, f"{_WHERE}: shape", MAX_AXES)
    if not shape or prod(shape) > MAX_ELEMENTS:
        raise FormatError(f"{_WHERE}: a frame of {shape}")
    axis = item["axis"]
    if axis is not None:
        axis = integer_of(axis, 0, len(shape) - 1, f"{_WHERE}: axis")
    rows = 1 if axis is None else shape[axis]
    falling = set(integers_of(item["falling"], None, 0, rows - 1, f"{_WHERE}: falling", rows))
    top = 1 << MAX_RAW_BITS
    try:
        return InputPreparation(
            float_of(array),
            integer_of(item["lo"], -top, top, f"{_WHERE}: lo"),
            tuple(row in falling for row in range(rows)),
            axis,
            shape,
            tuple(_step(step) for step in list_of(item["layout"], MAX_STEPS, f"{_WHERE}: layout")),
            None if item["scale"] is None else fraction_of(item["scale"], f"{_WHERE}: scale"),
            integer_of(item["zero"], -MAX_MAGNITUDE, MAX_MAGNITUDE, f"{_WHERE}: zero"),
            None if item["raw"] is None else _raw(item["raw"]),
        )
    except ValueError as error:
        raise FormatError(f"{_WHERE}: {error}") from error


def _step(data: Any) -> Step:
    where = f"{_WHERE}: layout"
    parts = list_of(data, 2, where)
    if len(parts) != 2 or parts[0] not in (RESHAPE, TRANSPOSE):
        raise FormatError(f"{where}: {parts!r:.100} is no step of it")
    return text_of(parts[0], where), integers_of(parts[1], None, 0, MAX_ELEMENTS, where, MAX_AXES)


def _raw(data: Any) -> RawType:
    where = f"{_WHERE}: raw"
    item = object_of(data, ("lo", "hi", "scale", "zero"), where)
    top = 1 << MAX_RAW_BITS
    return RawType(
        integer_of(item["lo"], -top, top, where),
        integer_of(item["hi"], -top, top, where),
        fraction_of(item["scale"], where),
        integer_of(item["zero"], -top, top, where),
    )
