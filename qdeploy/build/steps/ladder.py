"""The step `ladder`: the same frames through every level that the target has."""

from __future__ import annotations

from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.ladder import climb
from qdeploy.verify.results import write_verify


class Ladder(Step):
    """A build whose ladder fails goes on: it is kept for inspection."""

    name = "ladder"
    after = ("lower", "frames")

    def run(self, state: BuildState) -> None:
        options = state.options
        inputs = LadderInputs(
            state.folder,
            made(state.graph, "lower"),
            state.source.network,
            state.verification_frames.codes,
            state.cache,
            rtl_frames=options.rtl_frames,
            stall=options.stall,
            seed=options.seed,
            measuring=True,
            observer=state.observer,
        )
        try:
            state.rungs = climb(
                inputs,
                rungs=state.target.rungs,
                require=options.require,
                skip=options.skip,
                report=state.observer.rung,
                starting=state.observer.rung_starts,
            )
        except BaseException:
            state.observer.failed(self.name)
            raise
        write_verify(state.folder, state.rungs)
