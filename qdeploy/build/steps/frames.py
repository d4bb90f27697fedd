"""The step `frames`: the frames that the build is verified with, into its folder."""

from __future__ import annotations

from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.verify.frames import save_frames


class TakeFrames(Step):
    """From the source's data set, or random codes where it has none."""

    name = "frames"
    after = ("lower",)

    def run(self, state: BuildState) -> None:
        options = state.options
        graph = made(state.graph, "lower")
        state.frames = state.source.frames(graph, options.frames, options.seed)
        save_frames(state.folder, state.verification_frames)
        if state.frames.random:
            note = f"frames are {state.frames.source}: they verify arithmetic, not accuracy"
            state.notes = (*state.notes, note)
            state.observer.note(f"note: {note}")
