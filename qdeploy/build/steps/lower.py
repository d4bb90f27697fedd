"""The step `lower`: the source's QONNX file, the integer graph, and the graph as an ONNX file."""

from __future__ import annotations

import dataclasses

from qdeploy.build.input_note import input_note
from qdeploy.build.source import FILE
from qdeploy.build.state import BuildState
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import GRAPH_FILE, INT_FILE, QONNX_FILE
from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.devices.hopeless import check_weights
from qdeploy.ir.any_weights import for_any_weights
from qdeploy.ir.file import read_graph, write_graph
from qdeploy.lowering.integers.lower import lower_with_affine


class Lower(Step):
    """Everything after it works on the integer graph as the build folder holds it."""

    name = "lower"

    def run(self, state: BuildState) -> None:
        with state.observer.during("export QONNX and lower to integers") as say:
            if state.board is not None:
                check_weights(state.source.weight_bits(), state.board, state.source.describe())
            state.source.write_qonnx(state.folder / QONNX_FILE)
            lowered = lower_with_affine(state.folder / QONNX_FILE, argmax=state.options.argmax)
            graph = dataclasses.replace(lowered.graph, name=state.source.name)
            if state.options.runtime_weights:
                graph = for_any_weights(graph)
            state.target.accept_graph(graph)
            write_graph(graph, state.folder / GRAPH_FILE)
            graph = read_graph(state.folder / GRAPH_FILE)
            emit_onnx(graph, state.folder / INT_FILE, taps=False)
            say(f"{len(graph.nodes)} integer nodes, {graph.weights_of():,} weights")
        own = (input_note(graph),) if state.source.kind == FILE else ()
        state.graph, state.notes = graph, (*own, *lowered.notes)
        for note in state.notes:
            state.observer.note(f"note: {note}")
