"""The step `place`: on request, the design through place and route for a stand-in of the board."""

from __future__ import annotations

from qdeploy.build.options import Options
from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import RTL_FOLDER
from qdeploy.devices.boards import Board
from qdeploy.devices.families import FAMILIES
from qdeploy.errors import UserError
from qdeploy.synth.nextpnr import NextPnr, find_nextpnr
from qdeploy.synth.place_design import place_design
from qdeploy.tools import find_tool


class Place(Step):
    """Its clock is that of another part: the board's own stays assumed."""

    name = "place"
    after = ("compile",)
    needs_board = True

    def check(self, options: Options, board: Board | None) -> None:
        """Refuse a family without open place and route, and missing tools.

        Raises:
            UserError: there is no place and route for that family.
            ToolMissingError: Yosys or nextpnr is not installed.
        """
        name = options.place_and_route
        if name is None:
            return
        routed = {one.name: one.routing for one in FAMILIES.values() if one.routing is not None}
        if name not in routed:
            raise UserError(
                f"there is no open place and route for `{name}`",
                where="--place-and-route",
                do=f"give {' or '.join(routed)}",
            )
        find_nextpnr(routed[name].program)
        find_tool("yosys")

    def run(self, state: BuildState) -> None:
        name = state.options.place_and_route
        if name is None:
            return
        tool = NextPnr(state.cache / "nextpnr", family=FAMILIES[name])
        with state.observer.during("place and route with nextpnr") as say:
            design = made(state.compiled, "compile").design
            found = place_design(state.folder / RTL_FOLDER, design, tool)
            found.save(state.folder)
            say(f"{found.timing.fmax_mhz:.1f} MHz, longest path {found.source} to {found.sink}")
