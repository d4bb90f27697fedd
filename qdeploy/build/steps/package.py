"""The step `package`: the target makes its package of what the build has come to."""

from __future__ import annotations

from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.targets.finished import FinishedBuild
from qdeploy.verify.performance import read_cycles, read_latency
from qdeploy.verify.results import anything_ran


class Package(Step):
    """The target gets one finished value."""

    name = "package"
    after = ("lower",)

    def run(self, state: BuildState) -> None:
        target = state.target
        finished = FinishedBuild(
            folder=state.folder,
            graph=made(state.graph, "lower"),
            classes=state.source.classes,
            input_bits=state.source.input_bits,
            proven=anything_ran(state.rungs),
            frames=None if state.frames is None else state.verification_frames,
            rtl_frames=state.options.rtl_frames,
            board=state.board,
            design=None if state.compiled is None else state.compiled.design,
            cycles_per_frame=read_cycles(state.folder),
            latency_cycles=read_latency(state.folder),
        )
        with state.observer.during(f"package for {target.name}") as say:
            line = target.package(finished)
            unproven = target.rungs and not finished.proven
            say(f"{line}; of an UNPROVEN design: no rung ran" if unproven else line)
