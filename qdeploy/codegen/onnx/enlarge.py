"""Enlarged maps in ONNX: what only moves or repeats codes, exact in any float type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import DepthToSpace, Dilate, Upsample


def emit_enlarged(
    op: Callable[..., str],
    source: str,
    node: Upsample | Dilate | DepthToSpace,
    shape: tuple[int, ...],
    kind: np.dtype[Any],
) -> str:
    """Nodes for an enlarged map; returns the name of the result.

    Args:
        op: adds a node; arrays among its inputs become constants.
        source: the ONNX value of the map, (N, *shape).
        shape: of the map, (channels, height, width).
        kind: float type of the values.
    """
    if isinstance(node, DepthToSpace):
        return op("DepthToSpace", source, blocksize=node.block, mode="DCR")
    channels, height, width = shape
    down, right = node.factor if isinstance(node, Upsample) else node.step
    # An axis of its own for what comes to each row, and to each column.
    parts = op("Reshape", source, _integers(-1, channels, height, 1, width, 1))
    whole = _integers(-1, channels, height * down, width * right)
    if isinstance(node, Upsample):
        parts = op("Expand", parts, _integers(1, 1, 1, down, 1, right))
        return op("Reshape", parts, whole)
    after = _integers(*[0] * 9, down - 1, 0, right - 1)
    padded = op("Reshape", op("Pad", parts, after, np.array(0, kind)), whole)
    ends = _integers((height - 1) * down + 1, (width - 1) * right + 1)
    return op("Slice", padded, _integers(0, 0), ends, _integers(2, 3))


def _integers(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)
