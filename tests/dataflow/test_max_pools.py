"""Max-pools of every shape that the integer graph takes, as FINN's layers."""

from __future__ import annotations

import numpy as np
import pytest
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import hardware_layers
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.ir.reference import run_reference

SAME = (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("kernel", "stride", "pads"),
    [
        ((2, 2), (2, 2), SAME),
        ((3, 2), (1, 3), SAME),
        ((2, 2), (3, 3), SAME),  # pixels that no window takes
        ((1, 2), (2, 1), SAME),
        ((3, 3), (2, 2), (1, 0, 2, 1)),  # another border on each side
        ((2, 3), (2, 1), (0, 2, 1, 0)),
    ],
)
@pytest.mark.parametrize("base", [0, -4])
def test_a_max_pool_of_any_window_stride_and_border_becomes_hardware_layers(
    kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int], base: int
) -> None:
    maker = GraphMaker(3, (2, 7, 6)).conv(3).threshold(bits=3, base=base)
    graph, codes = maker.max_pool(kernel, stride, pads).graph(), maker.frames(3)
    expected = run_reference(graph, codes)[graph.output]
    assert len(np.unique(expected)) > 2
    model = hardware_layers(graph)
    np.testing.assert_array_equal(DataflowExecutor(model, graph).run(codes)[graph.output], expected)
    assert [n.name for n in model.graph.node if n.op_type.startswith("Pool")] == ["pool2_max_pool"]
