"""The manifest says what every stream carries and which nodes every hardware layer computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_graphs import GraphMaker, small_convnet, small_mlp, small_mobilenet, small_resnet

from qdeploy.dataflow.compile import compile_graph
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import Flatten, IntegerGraph

FPS = {"slow": 2_000.0, "fast": None}


@pytest.mark.parametrize("fps", list(FPS.values()), ids=list(FPS))
@pytest.mark.parametrize("make", [small_convnet, small_mlp, small_resnet, small_mobilenet])
def test_streams_and_nodes(make: object, fps: float | None, tmp_path: Path) -> None:
    maker: GraphMaker = make()  # type: ignore[operator]
    graph = maker.graph()
    compile_graph(graph, load_board("pynq-z2"), tmp_path / "rtl", fps=fps)
    design = Design.load(tmp_path / "rtl")
    _streams_are_whole(design, graph)
    _every_node_has_a_layer(design, graph)


def _streams_are_whole(design: Design, graph: IntegerGraph) -> None:
    taps = {tap.name: tap for tap in design.taps}
    for one in design.connections():
        assert one.elements > 0
        assert one.width == (one.bits * one.per_beat + 7) // 8 * 8
        if one.tap is not None:
            tap = taps[one.tap]
            assert (one.elements, one.per_beat) == (tap.elements, tap.per_beat)
            assert (one.bits, one.signed) == (tap.bits, tap.signed)
    entry = next(one for one in design.connections() if not one.source.module)
    assert entry.elements == graph.tensors[graph.input].size


def _every_node_has_a_layer(design: Design, graph: IntegerGraph) -> None:
    computed = [name for layer in design.layers for name in layer.nodes]
    wanted = {node.name for node in graph.nodes if not isinstance(node, Flatten)}
    assert set(computed) == wanted
    carriers = {layer.op for layer in design.layers if not layer.nodes}
    assert carriers <= {"StreamingFIFO", "StreamingDataWidthConverter", "DuplicateStreams"}
