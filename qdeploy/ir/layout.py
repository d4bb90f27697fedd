"""The order of a frame's elements: in the integer graph, and on a stream.

    graph    (channels, height, width)   as in ONNX
    stream   (height, width, channels)   pixel by pixel, channels innermost

Vectors, (features,), have one order. This is the only place that turns one order into the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import Tensor

Scalar = TypeVar("Scalar", bound=np.generic)
_MAP_AXES = 3


def stream_shape(graph_order: Tensor | Sequence[int]) -> tuple[int, ...]:
    """The shape on a stream, (H, W, C) or (F,), of a tensor or of a shape in the graph's order."""
    shape = graph_order.shape if isinstance(graph_order, Tensor) else tuple(graph_order)
    return (*shape[1:], shape[0]) if len(shape) == _MAP_AXES else shape


def graph_shape(stream_order: Sequence[int]) -> tuple[int, ...]:
    """The shape in the integer graph, (C, H, W) or (F,), of a shape on a stream."""
    shape = tuple(stream_order)
    return (shape[-1], *shape[:-1]) if len(shape) == _MAP_AXES else shape


def to_stream_order(values: npt.NDArray[Scalar], *, frames: bool) -> npt.NDArray[Scalar]:
    """Values of the integer graph in the order in which they travel.

    Args:
        values: (C, H, W) or (F,), with `frames` after an axis of frames: (N, C, H, W) or (N, F).
        frames: whether the first axis counts frames.

    Returns:
        A view: (H, W, C) or (F,), with the axis of frames where there was one.
    """
    return _moved(values, frames, 0, _MAP_AXES - 1)


def to_graph_order(values: npt.NDArray[Scalar], *, frames: bool) -> npt.NDArray[Scalar]:
    """Values of a stream in the order of the integer graph: the inverse of `to_stream_order`.

    Args:
        values: (H, W, C) or (F,), with `frames` after an axis of frames.
        frames: whether the first axis counts frames.

    Returns:
        A view: (C, H, W) or (F,), with the axis of frames where there was one.
    """
    return _moved(values, frames, _MAP_AXES - 1, 0)


def _moved(values: npt.NDArray[Any], frames: bool, source: int, target: int) -> npt.NDArray[Any]:
    """The channel axis of maps moved; `source` and `target` are axes of a single frame."""
    if values.ndim - frames != _MAP_AXES:
        return values
    return np.moveaxis(values, source + frames, target + frames)
