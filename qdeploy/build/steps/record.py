"""The step `record`: `build.json` says what was requested, what made the build, and what it is."""

from __future__ import annotations

import shutil

from qdeploy import provenance
from qdeploy.artifacts import sha256, write_json
from qdeploy.build.options import ANALYTIC, SIMULATED
from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import (
    BUILD_FILE,
    FIFOS_FILE,
    GRAPH_FILE,
    HARDWARE_FILE,
    INT_FILE,
    QONNX_FILE,
    RECIPE_FILE,
)

# What the levels are computed from: a later verification refuses these when they have changed.
PROVEN_FILES = (QONNX_FILE, GRAPH_FILE, INT_FILE, HARDWARE_FILE)


class Record(Step):
    """The last step: a folder without `build.json` is no build."""

    name = "record"
    after = ("lower",)

    def run(self, state: BuildState) -> None:
        folder, graph = state.folder, made(state.graph, "lower")
        if state.source.recipe_file is not None:
            shutil.copy(state.source.recipe_file, folder / RECIPE_FILE)
        depths = SIMULATED if (folder / FIFOS_FILE).exists() else ANALYTIC
        write_json(
            folder / BUILD_FILE,
            {
                "name": state.source.name,
                "options": state.options.record(),
                "frames": None if state.frames is None else state.frames.source,
                "accuracy_int": state.metrics.get("accuracy"),
                "miou_int": state.metrics.get("mIoU"),
                "synthesized": state.resources is not None,
                "fifo_depths": None if state.compiled is None else depths,
                "logit_scale": None if graph.head.scale is None else float(graph.head.scale),
                "notes": list(state.notes),
                "files": {
                    name: sha256(folder / name)
                    for name in PROVEN_FILES
                    if (folder / name).is_file()
                },
                **provenance.record(),
            },
        )
