"""The step `score`: the integer network on the test set, the accuracy the accelerator will have."""

from __future__ import annotations

from qdeploy.artifacts import write_json
from qdeploy.build.scores import by_class, scores, shown_score
from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import CLASSES_FILE, INT_FILE
from qdeploy.codegen.onnx.session import IntSimulator


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
            result = IntSimulator(state.folder / INT_FILE).run(tested.codes)[graph.output]
            metrics = scores(graph, tested, result)
            classes = by_class(graph, tested, result, state.source.classes)
            if classes is not None:
                write_json(state.folder / CLASSES_FILE, classes)
            found = ", ".join(shown_score(name, value) for name, value in metrics.items())
            say(f"{found or 'no metric'}, {frames.tested:,} frames")
        state.metrics = metrics
