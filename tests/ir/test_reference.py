"""The reference by hand: small inputs whose results can be checked by eye."""

import numpy as np
from hand_made_graphs import block, graph_of, tensor

from qdeploy.ir.integer_graph import MaxPool
from qdeploy.ir.reference import run_reference
from qdeploy.ir.rules import check_graph


def test_a_block_by_hand() -> None:
    """Channel 0: x[1] - x[0] along a row padded on its left; channel 1: 2·x to the left."""
    frame = np.array([[[0, 3], [1, 1]], [[2, 0], [3, 3]]])
    found = run_reference(block(), frame[None], accumulators=True)
    assert found["acc"][0].tolist() == [[[0, -3], [-1, 0]], [[0, 4], [0, 6]]]
    # -1 + the thresholds reached: -2, 0, 3 of channel 0 and 1, 1, 9 of channel 1.
    assert found["code"][0].tolist() == [[[1, -1], [0, 1]], [[-1, 1], [-1, 1]]]
    assert found["sum"][0].tolist() == [[[1, 2], [1, 2]], [[1, 1], [2, 4]]]
    assert found["out"][0].tolist() == [[[2, 2], [2, 2]], [[2, 2], [2, 2]]]
    assert list(run_reference(block(), frame[None])) == ["code", "out"]


def test_a_max_pool_does_not_see_its_padding() -> None:
    node = MaxPool("max", "max", ("x",), "y", (3, 3), (2, 2), (1, 1, 1, 1))
    graph = graph_of([node], tensor("x", (1, 3, 3), -4, -1), tensor("y", (1, 2, 2), -4, -1))
    check_graph(graph)
    found = run_reference(graph, np.arange(-12, -3).reshape(1, 1, 3, 3))["y"]
    assert found.tolist() == [[[[-8, -7], [-5, -4]]]]
