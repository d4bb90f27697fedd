"""Integer graphs that must not become hardware, whoever made them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import compile_graph, hardware_layers
from qdeploy.devices.boards import load_board
from qdeploy.errors import PassError, UnsupportedLayerError
from qdeploy.ir.integer_graph import IntegerGraph, Threshold


def with_table(graph: IntegerGraph, table: np.ndarray) -> IntegerGraph:
    """Another table for the graph's threshold."""
    nodes = [replace(n, thresholds=table) if isinstance(n, Threshold) else n for n in graph.nodes]
    return replace(graph, nodes=tuple(nodes))


def test_thresholds_out_of_order_become_no_design(tmp_path: Path) -> None:
    """A search and a count of them would give different codes."""
    graph = GraphMaker(0, (6,), bits=2).dense(3).threshold(bits=2).dense(2).graph()
    node = next(n for n in graph.nodes if isinstance(n, Threshold))
    table = node.thresholds.copy()
    table[1] = (2, 1, 3)
    with pytest.raises(PassError, match="thresholds of channel 1 do not ascend") as caught:
        compile_graph(with_table(graph, table), load_board("pynq-z2"), tmp_path / "rtl")
    assert f"layer `{node.layer}`" in caught.value.what
    assert caught.value.where is not None and node.name in caught.value.where
    assert caught.value.exit_code == 1
    assert not (tmp_path / "rtl").exists()


def test_parameters_beyond_24_bits_are_refused_by_name() -> None:
    graph = GraphMaker(0, (6,), bits=2).dense(3).threshold(bits=2).dense(2).graph()
    node = next(n for n in graph.nodes if isinstance(n, Threshold))
    table = node.thresholds.copy()
    table[:, -1] = 2**24 + 1
    with pytest.raises(
        UnsupportedLayerError, match="its thresholds hold integers beyond 24 bits"
    ) as caught:
        hardware_layers(with_table(graph, table))
    assert f"layer `{node.layer}`" in caught.value.what
    assert caught.value.why and caught.value.do
