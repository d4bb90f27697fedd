"""The step `time_paths`: which paths of the synthesized design are longest, by its cells."""

from __future__ import annotations

from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import NETLIST_PATH, SYNTH_FOLDER
from qdeploy.devices.families import find_family
from qdeploy.errors import ToolFailedError
from qdeploy.synth.design_paths import design_paths
from qdeploy.synth.routed_delay import routed_delay

LOG_FILE = "sta.log"


class TimePaths(Step):
    """A hint for people: nothing of it stops a build. Skipped without a netlist, and for families
    whose cells have no delays in Yosys."""

    name = "time_paths"
    after = ("synthesize",)
    needs_board = True

    def run(self, state: BuildState) -> None:
        times = find_family(made(state.board, "board").family).times
        if state.resources is None or times is None:
            return
        with state.observer.during("longest paths with Yosys, not placed") as say:
            design = made(state.compiled, "compile").design
            log = state.folder / SYNTH_FOLDER / LOG_FILE
            try:
                found = design_paths(
                    state.folder / NETLIST_PATH, design, times, routed_delay(), log
                )
            except ToolFailedError as error:
                say(f"skipped: {error.what}")
                return
            if found is None:
                say("none between cells with delays")
                return
            found.save(state.folder)
            whole = found.whole
            say(f"about {whole.fmax_mhz:.0f} MHz, from {whole.source} to {whole.sink}")
