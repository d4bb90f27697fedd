"""The golden frames of a package: a build's first frames, and the integers that must come out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdeploy.build_folder import INT_FILE
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.errors import InternalError
from qdeploy.targets.finished import FinishedBuild


@dataclass(frozen=True)
class GoldenFrames:
    """Golden frames.

    Args:
        raw: what the driver takes, (N, *shape in the file).
        codes: what the accelerator gets, (N, *input shape of the graph).
        outputs: the integers of the integer graph, the reference every level has to equal:
            (N, *shape of its output).
    """

    raw: npt.NDArray[np.integer]
    codes: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.int64]


def golden_frames(build: FinishedBuild, least: int) -> GoldenFrames:
    """The golden frames of a build: those that ran in RTL, and at least `least` where it has them.

    Raises:
        InternalError: the build has no frames.
    """
    if build.frames is None:
        raise InternalError("a package with golden frames needs the frames of a build")
    found = build.frames.first(max(least, build.rtl_frames))
    outputs = IntSimulator(build.folder / INT_FILE).run(found.codes)[build.graph.output]
    return GoldenFrames(found.raw, found.codes, outputs.astype(np.int64))


def class_names(build: FinishedBuild) -> tuple[str, ...]:
    """Names of the classes; their numbers where no names are known."""
    if build.classes:
        return build.classes
    graph = build.graph
    return tuple(str(index) for index in range(graph.tensors[graph.logits].shape[0]))
