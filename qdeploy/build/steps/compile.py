"""The step `compile`: the integer graph as a stitched design that keeps to the board."""

from __future__ import annotations

from qdeploy.build.options import Options
from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import RTL_FOLDER
from qdeploy.dataflow.compile import Compiled, compile_graph
from qdeploy.dataflow.cost.blocks import load_costs
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.file import FoldingConstraint, read_folding
from qdeploy.dataflow.rates import cycles_for
from qdeploy.devices.boards import Board
from qdeploy.devices.families import find_family
from qdeploy.errors import FoldingError, UserError

# What the clock generators of the boards can make, with margin above the fastest fabric there is.
LEAST_MHZ, MOST_MHZ = 0.1, 1000.0


class Compile(Step):
    """Folds for the rate requested, or as fast as fits beside what earlier tries reserved."""

    name = "compile"
    after = ("lower",)
    needs_board = True

    def check(self, options: Options, board: Board | None) -> None:
        """Refuse a clock, a rate or a folding file that is wrong in itself.

        Raises:
            UserError: no board can have the clock, or this one not what is allowed of it; the
                folding file cannot be read.
            FoldingError: the rate is not a positive number, or above one frame per cycle.
        """
        clock = _clock(options, made(board, "board"))
        Budget.of(made(board, "board"), options.most)
        if options.fps is not None:
            cycles_for(options.fps, clock)
        _constraints(options)

    def run(self, state: BuildState) -> None:
        try:
            state.compiled = _compiled(state)
        except FoldingError as error:
            if state.too_large is None:
                raise
            raise state.too_large from error  # what synthesis found on the real board is the answer


def _compiled(state: BuildState) -> Compiled:
    family = find_family(made(state.board, "board").family)
    earlier = state.compiled  # of an earlier try
    costs = earlier.costs if earlier else load_costs(family.costs, note=state.observer.note)
    with state.observer.during("FINN: hardware layers, folding, RTL") as say:
        compiled = compile_graph(
            made(state.graph, "lower"),
            made(state.board, "board"),
            state.folder / RTL_FOLDER,
            clock_mhz=state.options.clock_mhz,
            fps=state.options.fps,
            constraints=_constraints(state.options),
            most=state.options.most,
            reserved=state.reserved,
            widest_beat=state.target.widest_beat,
            costs=costs,
            loadable=state.options.runtime_weights,
        )
        design = compiled.design
        state.target.accept_design(design)
        say(f"{len(design.layers)} layers, {design.cycles_per_frame:,} cycles per frame expected")
    return compiled


def _constraints(options: Options) -> list[FoldingConstraint]:
    return [] if options.folding is None else read_folding(options.folding)


def _clock(options: Options, board: Board) -> float:
    clock = board.clock_mhz if options.clock_mhz is None else options.clock_mhz
    if not LEAST_MHZ <= clock <= MOST_MHZ:
        raise UserError(
            f"no board can have a clock of {clock:g} MHz",
            where="the board's file" if options.clock_mhz is None else "--clock",
            do=f"give {LEAST_MHZ:g} to {MOST_MHZ:g} MHz; `{board.name}` has "
            f"{board.clock_mhz:g} by default",
        )
    return clock
