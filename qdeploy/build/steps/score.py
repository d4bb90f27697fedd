"""The step `score`: the integer network on the test set, the accuracy the accelerator will have."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from qdeploy.artifacts import write_json
from qdeploy.build.scores import by_class, scores, shown_score
from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import CLASSES_FILE, INT_FILE
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.supervised import in_parallel

# Frames of a thread at a time.
_AT_ONCE = 160


class Score(Step):
    """Nothing where the source has no test set."""

    name = "score"
    after = ("lower", "frames")

    def run(self, state: BuildState) -> None:
        graph, frames = made(state.graph, "lower"), made(state.frames, "frames")
        if not frames.tested:
            return
        with state.observer.during("integer network on the test set") as say:
            tested = frames.first(frames.tested)
            result = _outputs(state.folder / INT_FILE, graph, tested.codes)
            metrics = scores(graph, tested, result)
            classes = by_class(graph, tested, result, state.source.classes)
            if classes is not None:
                write_json(state.folder / CLASSES_FILE, classes)
            found = ", ".join(shown_score(name, value) for name, value in metrics.items())
            say(f"{found or 'no metric'}, {frames.tested:,} frames")
        state.metrics = metrics


def _outputs(path: Path, graph: IntegerGraph, codes: IntArray) -> IntArray:
    """What the integer network puts out for frames (N, *input shape), on every core."""
    session = IntSimulator(path)

    def part(first: int) -> IntArray:
        return session.run(codes[first : first + _AT_ONCE])[graph.output]

    starts = range(0, len(codes), _AT_ONCE)
    with in_parallel(part, starts, len(os.sched_getaffinity(0))) as parts:
        return np.concatenate(list(parts))
