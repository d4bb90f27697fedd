"""Metrics of what an integer network puts out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdeploy.build_records import ClassesRecord
from qdeploy.figures import FIGURES, shown
from qdeploy.ir.integer_graph import ArgMax, IntegerGraph
from qdeploy.training.class_figures import MOST_CLASSES, class_figures
from qdeploy.verify.frames import Frames


def scores(
    graph: IntegerGraph, frames: Frames, result: npt.NDArray[np.integer]
) -> dict[str, float]:
    """Metrics by name: in [0, 1] for classes.

    Args:
        graph: with logits, or classes found in hardware, as its output.
        frames: all of them count.
        result: what the graph puts out for them.

    Returns:
        Of the first output where there are several: `accuracy`, and for masks `mIoU`, with the
        accuracy counted over pixels; nothing where frames and network do not go together, such as
        one label for a map of logits. `r2` and `mae`, in the targets' units, of predicted numbers,
        each the mean over the targets.
    """
    if not _go_together(graph, frames):
        return {}
    if frames.masks is not None:
        # On one scale integers are as good as values, and smaller.
        logits = result if graph.head.scale is not None else graph.head.values(result)
        return _of_masks(logits[:, graph.head.slices()[0]], frames.masks, frames.void)
    if frames.targets is not None:
        return _of_numbers(graph.head.values(result), frames.targets)
    return {"accuracy": float(np.mean(classes_of(graph, result) == frames.labels))}


def shown_score(name: str, value: float) -> str:
    """A metric of `scores` for people, with its name."""
    return f"{FIGURES.get(name, name)} {shown(name, value)}"


def by_class(
    graph: IntegerGraph,
    frames: Frames,
    result: npt.NDArray[np.integer],
    names: tuple[str, ...],
) -> ClassesRecord | None:
    """`classes.json`; arguments as in `scores`.

    None where frames have masks or numbers to predict, or do not go with the network, and without
    names or with more of them than a matrix can show.
    """
    if frames.masks is not None or frames.targets is not None or not _go_together(graph, frames):
        return None
    if not 2 <= len(names) <= MOST_CLASSES:
        return None
    margins = None
    if len(names) == 2 and not finds_classes(graph):
        logits = graph.head.values(result)[:, graph.head.slices()[0]]
        margins = logits[:, 1] - logits[:, 0]
    return class_figures(frames.labels, classes_of(graph, result), names, margins)


def _go_together(graph: IntegerGraph, frames: Frames) -> bool:
    """Whether the network decides for every pixel where the frames have masks, and only there."""
    is_map = len(graph.tensors[graph.output].shape) > 1
    return is_map == (frames.masks is not None) and not (is_map and finds_classes(graph))


def classes_of(graph: IntegerGraph, result: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """The class of each frame, (N,); of the first output where there are several."""
    classes = result if finds_classes(graph) else graph.head.classes(result)
    return (classes[:, 0] if graph.head.parts else classes).reshape(-1)


def finds_classes(graph: IntegerGraph) -> bool:
    return isinstance(graph.producer(graph.output), ArgMax)


def _of_numbers(
    predicted: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]
) -> dict[str, float]:
    """Of predicted numbers (N, targets), in their units."""
    error = predicted - wanted
    spread = ((wanted - wanted.mean(0)) ** 2).sum(0).clip(min=1e-300)
    r2 = 1 - (error**2).sum(0) / spread
    return {"r2": float(r2.mean()), "mae": float(np.abs(error).mean(0).mean())}


def _of_masks(logits: np.ndarray, masks: np.ndarray, void: int | None) -> dict[str, float]:
    """Of maps of logits, interpolated to the masks' size as in training."""
    from qdeploy.training.segmentation import Confusion

    count = Confusion(logits.shape[1], void)
    count.add_arrays(logits, masks)
    return {"accuracy": count.pixel_accuracy(), "mIoU": count.miou()}
