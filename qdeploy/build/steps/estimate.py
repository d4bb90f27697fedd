"""The step `estimate`: estimates of every layer, and what larger boards would give."""

from __future__ import annotations

from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.dataflow.estimates import write_estimates
from qdeploy.dataflow.folding.larger_boards import write_boards


class Estimate(Step):
    """A hint for people: nothing of it stops a build."""

    name = "estimate"
    after = ("compile",)
    needs_board = True

    def run(self, state: BuildState) -> None:
        graph, compiled = made(state.graph, "lower"), made(state.compiled, "compile")
        board = made(state.board, "board")
        source = graph.tensors[graph.input]
        with state.observer.during("estimates, larger boards") as say:
            hardware, note = compiled.hardware, state.observer.note
            write_estimates(state.folder, hardware, board.part, compiled.costs, note)
            bits = source.size * source.dtype.bits
            say(write_boards(state.folder, compiled.folding, bits, board))
