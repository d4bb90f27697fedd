"""What units must hold, from the graph and the manifest, against FINN's graph of the design."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from random_graphs import GraphMaker, small_convnet, small_mlp, small_mobilenet, small_resnet

from qdeploy.dataflow.compile import Compiled, compile_graph
from qdeploy.dataflow.finn.nodes import HwNode, hw_nodes
from qdeploy.devices.boards import load_board
from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import IntegerGraph, Threshold
from qdeploy.ir.reference import count_thresholds
from qdeploy.verify.units.parameters import UnitKind, UnitParameters, unit_parameters


def _uneven() -> GraphMaker:
    """Strides beyond the kernel, dilation, one-sided padding, a padded pool, a head per pixel."""
    maker = GraphMaker(3, (2, 11, 12), bits=4)
    maker.conv(4, (3, 2), (1, 1), (0, 1, 2, 0), (2, 3)).threshold()
    maker.conv(6, (1, 3), (2, 2), (1, 0, 0, 2)).threshold(bits=3, base=-4)
    maker.conv(5, (1, 1), (2, 1), (0, 0, 0, 0)).bias().threshold(bits=5)
    return maker.max_pool((2, 2), (1, 2), (1, 0, 0, 1)).conv(3, (1, 1), pads=(0, 0, 0, 0)).argmax()


NETWORKS = {
    "convnet": small_convnet,
    "mlp": small_mlp,
    "resnet": small_resnet,
    "mobilenet": small_mobilenet,
    "uneven": _uneven,
}


def _compiled(maker: GraphMaker, fps: float | None, folder: Path) -> tuple[Compiled, IntegerGraph]:
    graph = maker.graph()
    return compile_graph(graph, load_board("pynq-z2"), folder / "rtl", fps=fps), graph


@pytest.mark.parametrize("fps", [2_000.0, None], ids=["slow", "fast"])
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_units_are_those_of_finns_graph(
    make: Callable[[], GraphMaker], fps: float | None, tmp_path: Path
) -> None:
    compiled, graph = _compiled(make(), fps, tmp_path)
    nodes = {node.name: node for node in hw_nodes(compiled.hardware)}
    matched = 0
    for layer in compiled.design.layers:
        unit = unit_parameters(compiled.design, graph, layer)
        if layer.name in nodes and unit.kind is not UnitKind.COPY:
            _same(unit, nodes[layer.name])
            matched += 1
    assert matched >= len(graph.nodes) // 2


def _same(unit: UnitParameters, node: HwNode) -> None:
    taps = unit.positions if unit.kind is UnitKind.WINDOW else 1
    elements = np.prod(node.instance.get_normal_output_shape())
    assert unit.vectors * unit.channels * taps == elements
    if unit.matrix is not None:
        assert np.array_equal(unit.matrix, node.weights().T)
    if unit.kernel is not None:
        assert np.array_equal(unit.kernel, node.weights().reshape(unit.kernel.shape))
    if unit.thresholds is not None:
        _same_codes(unit, node)
    if unit.bias is not None:
        constant = node.model.get_initializer(node.node.input[1])
        assert np.array_equal(unit.bias, constant.reshape(-1))
    if unit.window is not None:
        window, found = node.window, unit.window
        assert window is not None
        assert (found.rows, found.columns, found.out) == (*window.shape, window.out)
        assert (found.kernel, found.stride) == (window.kernel, window.stride)
        assert found.dilation == window.dilation
    if unit.padding is not None:
        padding, border = node.padding, unit.padding
        assert padding is not None
        assert (border.rows, border.columns) == padding.shape
        sides = (border.top, border.left, border.bottom, border.right)
        assert sides == (padding.top, padding.left, padding.bottom, padding.right)


def _same_codes(unit: UnitParameters, node: HwNode) -> None:
    """The codes of both tables for all sums from end to end of a range beyond the thresholds'."""
    assert unit.thresholds is not None and unit.sum_lo is not None and unit.sum_hi is not None
    sums = np.arange(unit.sum_lo.min(), unit.sum_hi.max() + 1)[:, None]
    sums = np.clip(np.repeat(sums, unit.channels, axis=1), unit.sum_lo, unit.sum_hi)
    table = node.thresholds()
    table = np.broadcast_to(table, (unit.channels, table.shape[1]))
    expected = count_thresholds(sums, table, node.integer("ActVal"))
    assert np.array_equal(count_thresholds(sums, unit.thresholds, unit.base), expected)


def test_a_manifest_of_another_network_is_refused(tmp_path: Path) -> None:
    compiled, graph = _compiled(small_mlp(), None, tmp_path)
    other = small_convnet().graph()
    unit = next(one for one in compiled.design.layers if one.op == "MVAU")
    with pytest.raises(PassError, match="not in the integer graph"):
        unit_parameters(compiled.design, other, unit)
    threshold = next(node.name for node in graph.nodes if isinstance(node, Threshold))
    unit.nodes[:] = [threshold]
    with pytest.raises(PassError, match="cannot compute"):
        unit_parameters(compiled.design, graph, unit)
