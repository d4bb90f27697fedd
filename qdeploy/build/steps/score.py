"""The step `score`: the integer network on the test set, the accuracy the accelerator will have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdeploy.artifacts import write_json
from qdeploy.build.class_figures import MOST_CLASSES, class_figures
from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import (
    CLASSES_FILE,
    INT_FILE,
)
from qdeploy.build_records import (
    ClassesRecord,
)
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.ir.integer_graph import ArgMax, IntegerGraph
from qdeploy.verify.frames import Frames


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
            names = state.source.classes
            if tested.masks is None and metrics and 2 <= len(names) <= MOST_CLASSES:
                write_json(state.folder / CLASSES_FILE, by_class(graph, tested, result, names))
            found = ", ".join(f"{name} {value:.2%}" for name, value in metrics.items())
            say(f"{found or 'no metric'}, {frames.tested:,} frames")
        state.metrics = metrics


def scores(
    graph: IntegerGraph, frames: Frames, result: npt.NDArray[np.integer]
) -> dict[str, float]:
    """Metrics in [0, 1] by name.

    Args:
        graph: with logits, or classes found in hardware, as its output.
        frames: all of them count.
        result: what the graph puts out for them.

    Returns:
        Of the first output where there are several: `accuracy`, and for masks `mIoU`, with the
        accuracy counted over pixels; nothing where frames and network do not go together, such as
        one label for a map of logits.
    """
    is_map, found_in_hardware = len(graph.tensors[graph.output].shape) > 1, _finds_classes(graph)
    if is_map != (frames.masks is not None) or (is_map and found_in_hardware):
        return {}
    if frames.masks is not None:
        # On one scale integers are as good as values, and smaller.
        logits = result if graph.head.scale is not None else graph.head.values(result)
        return _of_masks(logits[:, graph.head.slices()[0]], frames.masks, frames.void)
    return {"accuracy": float(np.mean(_classes(graph, result) == frames.labels))}


def by_class(
    graph: IntegerGraph,
    frames: Frames,
    result: npt.NDArray[np.integer],
    names: tuple[str, ...],
) -> ClassesRecord:
    """`classes.json`; arguments as in `scores`, for frames with one class each."""
    margins = None
    if len(names) == 2 and not _finds_classes(graph):
        logits = graph.head.values(result)[:, graph.head.slices()[0]]
        margins = logits[:, 1] - logits[:, 0]
    return class_figures(frames.labels, _classes(graph, result), names, margins)


def _classes(graph: IntegerGraph, result: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """The class of each frame, (N,); of the first output where there are several."""
    classes = result if _finds_classes(graph) else graph.head.classes(result)
    return (classes[:, 0] if graph.head.parts else classes).reshape(-1)


def _finds_classes(graph: IntegerGraph) -> bool:
    return isinstance(graph.producer(graph.output), ArgMax)


def _of_masks(logits: np.ndarray, masks: np.ndarray, void: int | None) -> dict[str, float]:
    """Of maps of logits, interpolated to the masks' size as in training."""
    from qdeploy.training.segmentation import Confusion

    count = Confusion(logits.shape[1], void)
    count.add_arrays(logits, masks)
    return {"accuracy": count.pixel_accuracy(), "mIoU": count.miou()}
