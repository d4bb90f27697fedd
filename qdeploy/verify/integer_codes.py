"""The codes of the integer graph at every boundary: the reference of the ladder."""

from __future__ import annotations

import os

from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.scratch import scratch_folder
from qdeploy.supervised import in_parallel
from qdeploy.verify.narrow import Narrow, code_type, joined, narrow


def integer_codes(graph: IntegerGraph, frames: IntArray) -> dict[str, Narrow]:
    """Codes (frames, *shape) at every boundary, from the integer graph in onnxruntime.

    Args:
        frames: input codes (frames, *input shape).

    Returns:
        In the type of each tensor's interval; a boundary with a code outside of it, which the
        rung `int` finds, as int64.
    """
    from qdeploy.codegen.onnx.model import emit_onnx
    from qdeploy.codegen.onnx.session import AT_ONCE, IntSimulator

    kinds = {name: code_type(graph.tensors[name]) for name in graph.boundaries()}
    with scratch_folder("codes") as folder:
        path = folder / "taps.onnx"
        emit_onnx(graph, path, taps=True)
        session = IntSimulator(path)

        def codes(first: int) -> dict[str, Narrow]:
            found = session.run(frames[first : first + AT_ONCE])
            return {name: narrow(found[name], kind) for name, kind in kinds.items()}

        starts = range(0, len(frames), AT_ONCE)
        with in_parallel(codes, starts, len(os.sched_getaffinity(0))) as done:
            parts = list(done)
    return joined(parts)
