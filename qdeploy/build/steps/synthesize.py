"""The step `synthesize`: what the design takes of the board.

"As fast as fits" is folded for an estimate, which is off by some LUTs, and the FIFOs are known only
after simulation. Where synthesis finds the design too large, the build goes back to folding with
more of the board reserved.
"""

from __future__ import annotations

import dataclasses

from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build.steps.compile import Compile
from qdeploy.build_folder import RTL_FOLDER, SYNTH_FOLDER
from qdeploy.errors import DoesNotFitError, ToolMissingError
from qdeploy.synth.figures import Resources
from qdeploy.synth.fit import check_fit
from qdeploy.synth.synthesize import synthesize
from qdeploy.verify.netlist_origin import write_origin

# The next try reserves this many times what the try before was too large by.
MARGIN = 1.25
TRIES = 4


class Synthesize(Step):
    """Skipped without Yosys, and where it is left out on request."""

    name = "synthesize"
    after = (Compile.name,)
    needs_board = True

    def run(self, state: BuildState) -> str | None:
        if not state.options.synthesis:
            return None
        resources = _synthesized(state)
        if resources is None:
            return None
        state.tries += 1
        design = made(state.compiled, "compile").design
        try:
            check_fit(resources, made(state.board, "board"), design.clock_mhz)
        except DoesNotFitError as error:
            if state.options.fps is not None or state.tries == TRIES:
                raise
            state.too_large = error
            for kind, amount in resources.fit.missing().items():
                state.reserved[kind] = state.reserved.get(kind, 0) + MARGIN * amount
            return Compile.name
        write_origin(state.folder, design)
        resources.save(state.folder)
        state.resources = resources
        return None


def _synthesized(state: BuildState) -> Resources | None:
    with state.observer.during("synthesis with Yosys") as say:
        try:
            resources = synthesize(
                state.folder / RTL_FOLDER,
                made(state.compiled, "compile").design,
                state.folder / SYNTH_FOLDER,
                made(state.board, "board"),
                store=state.cache / "modules",
                meter=state.observer.meter,
                note=state.observer.note,
            )
        except ToolMissingError as error:
            say(f"skipped: {error.what}")
            return None
        asked = {kind: float(most) for kind, most in state.options.most.items() if most is not None}
        resources = dataclasses.replace(resources, most=asked)
        total = resources.total
        say(f"{total.lut:,} LUT, {total.ff:,} FF, {total.bram36:g} BRAM36, {total.dsp} DSP")
    return resources
