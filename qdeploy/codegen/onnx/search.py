"""Thresholds of any spacing as a binary search in ONNX: some steps of Gather and comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from qdeploy.ir.integer_graph import IntArray


def emit_search(op: Callable[..., str], source: str, table: IntArray, rank: int) -> str:
    """Add nodes that count the thresholds reached; returns the float32 counts' name.

    A count grows by halves of the next power of two: after each step it is the number of thresholds
    among those looked at that are not above the sum.

    Args:
        op: adds a node of (kind, inputs, attributes); arrays among its inputs become constants.
        source: sums (N, channels, ...), of any numeric type.
        table: (channels, levels), ascending.
        rank: axes of the sums, without the batch's.
    """
    channels, levels = table.shape
    bits = levels.bit_length()
    width = (1 << bits) - 1
    # Beyond the table's end nothing is reached.
    full = np.full((channels, width), np.iinfo(np.int64).max, dtype=np.int64)
    full[:, :levels] = table
    integers = op("Cast", source, to=TensorProto.INT64)
    row: Any = (np.arange(channels, dtype=np.int64) * width).reshape(-1, *([1] * (rank - 1)))
    place = op("Add", op("Mul", integers, np.int64(0)), row)
    start = place
    for bit in reversed(range(bits)):
        looked = op("Add", place, np.int64((1 << bit) - 1))
        edge = op("Gather", full.reshape(-1), looked, axis=0)
        reached = op("Cast", op("GreaterOrEqual", integers, edge), to=TensorProto.INT64)
        place = op("Add", place, op("Mul", reached, np.int64(1 << bit)))
    return op("Cast", op("Sub", place, start), to=TensorProto.FLOAT)
