"""The codes of the integer graph at every boundary: the reference of the ladder."""

from __future__ import annotations

import os

import numpy as np

from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.scratch import scratch_folder
from qdeploy.supervised import in_parallel


def integer_codes(graph: IntegerGraph, frames: IntArray) -> dict[str, IntArray]:
    """Codes (frames, *shape) at every boundary, from the integer graph in onnxruntime.

    Args:
        frames: input codes (frames, *input shape).
    """
    from qdeploy.codegen.onnx.model import emit_onnx
    from qdeploy.codegen.onnx.session import AT_ONCE, IntSimulator

    shapes = {name: graph.tensors[name].shape for name in graph.boundaries()}
    found = {name: np.empty((len(frames), *shape), np.int64) for name, shape in shapes.items()}
    with scratch_folder("codes") as folder:
        path = folder / "taps.onnx"
        emit_onnx(graph, path, taps=True)
        session = IntSimulator(path)

        def fill(first: int) -> None:
            part = slice(first, first + AT_ONCE)
            for name, codes in session.run(frames[part]).items():
                found[name][part] = codes

        starts = range(0, len(frames), AT_ONCE)
        with in_parallel(fill, starts, len(os.sched_getaffinity(0))) as done:
            list(done)
    return found
