"""The step `score`: the integer network on the test set, the accuracy the accelerator will have."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import INT_FILE
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
            metrics = scores(graph, frames.first(frames.tested), state.folder / INT_FILE)
            found = ", ".join(f"{name} {value:.2%}" for name, value in metrics.items())
            say(f"{found or 'no metric'}, {frames.tested:,} frames")
        state.metrics = metrics


def scores(graph: IntegerGraph, frames: Frames, file: Path) -> dict[str, float]:
    """Metrics in [0, 1] by name.

    Args:
        graph: with logits, or classes found in hardware, as its output.
        frames: all of them count.
        file: the integer graph as ONNX.

    Returns:
        Of the first output where there are several: `accuracy`, and for masks `mIoU`, with the
        accuracy counted over pixels; nothing where frames and network do not go together, such as
        one label for a map of logits.
    """
    is_map, found_in_hardware = len(graph.tensors[graph.output].shape) > 1, _finds_classes(graph)
    if is_map != (frames.masks is not None) or (is_map and found_in_hardware):
        return {}
    result = IntSimulator(file).run(frames.codes)[graph.output]
    if frames.masks is not None:
        # On one scale integers are as good as values, and smaller.
        logits = result if graph.head.scale is not None else graph.head.values(result)
        return _of_masks(logits[:, graph.head.slices()[0]], frames.masks, frames.void)
    classes = result if found_in_hardware else graph.head.classes(result)
    if graph.head.parts:
        classes = classes[:, 0]
    return {"accuracy": float(np.mean(classes.reshape(-1) == frames.labels))}


def _finds_classes(graph: IntegerGraph) -> bool:
    return isinstance(graph.producer(graph.output), ArgMax)


def _of_masks(logits: np.ndarray, masks: np.ndarray, void: int | None) -> dict[str, float]:
    """Of maps of logits, interpolated to the masks' size as in training."""
    from qdeploy.training.segmentation import Confusion

    count = Confusion(logits.shape[1], void)
    count.add_arrays(logits, masks)
    return {"accuracy": count.pixel_accuracy(), "mIoU": count.miou()}
