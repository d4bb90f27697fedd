"""The step `record`: `build.json` says what was requested, what made the build, and what it is.

It has the digest of every file of the build, of the source, and of its own content.
"""

from __future__ import annotations

from qdeploy import provenance
from qdeploy.artifacts import write_json, write_text
from qdeploy.build.digests import FILES, take_digests
from qdeploy.build.options import ANALYTIC, SIMULATED
from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import BUILD_FILE, FIFOS_FILE, METRICS_FILE, RECIPE_FILE, WEIGHTS_FILE
from qdeploy.self_digest import with_digest


class Record(Step):
    """The last step: a folder without `build.json` is no build."""

    name = "record"
    after = ("lower",)

    def run(self, state: BuildState) -> None:
        folder, graph = state.folder, made(state.graph, "lower")
        if state.source.recipe_text is not None:
            write_text(folder / RECIPE_FILE, state.source.recipe_text)
        if state.source.metrics_text is not None:
            write_text(folder / METRICS_FILE, state.source.metrics_text)
        if state.source.network is not None:
            from qdeploy.training.analysis.weight_levels import weight_levels

            write_json(folder / WEIGHTS_FILE, weight_levels(state.source.network))
        depths = SIMULATED if (folder / FIFOS_FILE).exists() else ANALYTIC
        frames = None if state.frames is None else state.verification_frames
        record = {
            "name": state.source.name,
            "options": state.options.record(),
            "source": {
                "kind": state.source.kind,
                FILES: dict(state.source.files),
                "recipe_sha256": state.source.recipe_sha256,
                "classes": list(state.source.classes),
                "predicts_numbers": state.source.predicts_numbers,
                "input_bits": state.source.input_bits,
            },
            "frames": None if frames is None else frames.source,
            "frames_kept": None if frames is None else len(frames.codes),
            "accuracy_int": state.metrics.get("accuracy"),
            "miou_int": state.metrics.get("mIoU"),
            "r2_int": state.metrics.get("r2"),
            "mae_int": state.metrics.get("mae"),
            "synthesized": state.resources is not None,
            "fifo_depths": None if state.compiled is None else depths,
            "logit_scale": None if graph.head.scale is None else float(graph.head.scale),
            "notes": list(state.notes),
            FILES: take_digests(folder),
            **provenance.record(),
        }
        write_json(folder / BUILD_FILE, with_digest(record))
