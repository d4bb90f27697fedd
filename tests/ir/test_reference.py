"""The reference by hand: small inputs whose results can be checked by eye."""

import numpy as np
import pytest
from hand_made_graphs import block, graph_of, tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.ir.integer_graph import (
    Concat,
    Conv,
    Dense,
    DepthToSpace,
    Dilate,
    MaxPool,
    Node,
    Upsample,
)
from qdeploy.ir.reference import count_thresholds, evaluate, run_reference
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


ROWS = [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (Upsample("n", "l", ("x",), "y", (1, 2)), [[[1, 1, 2, 2], [3, 3, 4, 4]]]),
        (Upsample("n", "l", ("x",), "y", (2, 1)), [[[1, 2], [1, 2], [3, 4], [3, 4]]]),
        (Dilate("n", "l", ("x",), "y", (2, 3)), [[[1, 0, 0, 2], [0, 0, 0, 0], [3, 0, 0, 4]]]),
        (Concat("n", "l", ("x", "x"), "y"), [ROWS, ROWS]),
    ],
)
def test_enlarged_and_joined_maps_by_hand(node: Node, expected: list[list[list[int]]]) -> None:
    shape = np.array(expected).shape
    graph = graph_of([node], tensor("x", (1, 2, 2), 0, 4), tensor("y", shape, 0, 4))
    check_graph(graph)
    assert run_reference(graph, np.array([[ROWS]]))["y"].tolist() == [expected]


def test_depth_becomes_space_row_by_row() -> None:
    """Two channels of each of four pixels: (row, column) of the pixel first, the channel last."""
    node = DepthToSpace("n", "l", ("x",), "y", 2)
    graph = graph_of([node], tensor("x", (8, 1, 2), 0, 20), tensor("y", (2, 2, 4), 0, 20))
    check_graph(graph)
    frame = np.stack([np.arange(8), 10 + np.arange(8)], axis=1).reshape(1, 8, 1, 2)
    found = run_reference(graph, frame)["y"][0].tolist()
    assert found == [[[0, 2, 10, 12], [4, 6, 14, 16]], [[1, 3, 11, 13], [5, 7, 15, 17]]]


# Of inputs and weights: sums are held by float32, by float64, and by int64 alone.
WIDTHS = [(1, 1), (8, 8), (20, 8), (30, 20), (45, 10)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(WIDTHS), st.sampled_from([1, 2, 6]), st.booleans())
def test_sums_in_floats_are_those_of_integers(
    seed: int, bits: tuple[int, int], groups: int, extreme: bool
) -> None:
    """A convolution and a dense layer against Python's integers."""
    random = np.random.default_rng(seed)
    most, heavy = (1 << one for one in bits)
    x = random.integers(-most, most, (2, 6, 4, 5))
    weights = random.integers(-heavy, heavy, (6, 6 // groups, 3, 2))
    if extreme:
        x[:], weights[:] = most - 1, -heavy
    conv = Conv("c", "l", ("x",), "y", weights, (1, 2), (1, 0, 1, 1), groups=groups)
    dense = Dense("d", "l", ("x",), "y", weights.reshape(6, -1)[:, : 6 // groups])
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 1)))
    found = evaluate(conv, x)
    for frame, channel, row, column in np.ndindex(*found.shape):
        first = channel // (6 // groups) * (6 // groups)
        window = padded[
            frame, first : first + 6 // groups, row : row + 3, 2 * column : 2 * column + 2
        ]
        exact = sum(
            int(w) * int(v) for w, v in zip(weights[channel].flat, window.flat, strict=True)
        )
        assert found[frame, channel, row, column] == exact
    rows = x[:, : 6 // groups, 0, 0]
    assert evaluate(dense, rows).tolist() == [
        [sum(int(w) * int(v) for w, v in zip(line, row, strict=True)) for line in dense.weights]
        for row in rows
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.sampled_from([3, 100, 2**40]))
def test_thresholds_are_counted_one_by_one(seed: int, levels: int, spread: int) -> None:
    random = np.random.default_rng(seed)
    table = np.sort(random.integers(-spread, spread, (2, levels)), axis=1)
    values = random.integers(-spread, spread, (3, 2, 4))
    values[0, :, 0] = table[:, -1]
    expected = (values[..., None] >= table[None, :, None, :]).sum(-1) - 2
    assert np.array_equal(count_thresholds(values, table, -2), expected)
