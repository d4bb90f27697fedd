"""The step `frames`: the frames that the build is verified with, into its folder."""

from __future__ import annotations

from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.verify.coverage.directed import telling_order
from qdeploy.verify.frames import save_frames


class TakeFrames(Step):
    """From the source's data set, or random codes where it has none.

    Hardware is simulated with the first frames only, and they become the golden frames of a
    package: those that together show most single faults come first.
    """

    name = "frames"
    after = ("lower",)

    def run(self, state: BuildState) -> None:
        options = state.options
        graph = made(state.graph, "lower")
        frames = state.source.frames(graph, options.frames, options.seed)
        if "rtl" in state.target.rungs:
            pool = min(options.frames, frames.tested or len(frames.codes))
            order = telling_order(graph, frames.codes[:pool], options.rtl_frames)
            frames = frames.ordered(order)
        state.frames = frames
        save_frames(state.folder, state.verification_frames)
        if state.frames.random:
            note = f"frames are {state.frames.source}: they verify arithmetic, not accuracy"
            state.notes = (*state.notes, note)
            state.observer.note(f"note: {note}")
