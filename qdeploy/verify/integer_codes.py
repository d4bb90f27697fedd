"""The codes of the integer graph at every boundary: the reference of the ladder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.scratch import scratch_folder


def integer_codes(graph: IntegerGraph, frames: IntArray) -> dict[str, IntArray]:
    """Codes (frames, *shape) at every boundary, from the integer graph in onnxruntime.

    Args:
        frames: input codes (frames, *input shape).
    """
    from qdeploy.codegen.onnx.model import emit_onnx
    from qdeploy.codegen.onnx.session import IntSimulator

    with scratch_folder("codes") as folder:
        path = folder / "taps.onnx"
        emit_onnx(graph, path, taps=True)
        return as_int64(IntSimulator(path).run(frames))


def as_int64(codes: Mapping[str, Any]) -> dict[str, IntArray]:
    """The same codes as int64 arrays."""
    return {name: np.asarray(values).astype(np.int64) for name, values in codes.items()}
