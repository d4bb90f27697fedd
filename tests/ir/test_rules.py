"""Integer graphs made by hand: their rules, exact intervals, wide sums, forks."""

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import OPTIMIZATION_LEVELS, IntSimulator
from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import (
    Add,
    Conv,
    Dense,
    GlobalSum,
    IntegerGraph,
    IntType,
    MaxPool,
    Node,
    Tensor,
    Threshold,
)
from qdeploy.ir.intervals import Intervals, accumulator_intervals
from qdeploy.ir.reference import run_reference
from qdeploy.ir.rules import check_graph


def tensor(name: str, shape: tuple[int, ...], lo: int, hi: int) -> Tensor:
    return Tensor(name, shape, IntType.holding(lo, hi), lo, hi, Fraction(1))


def graph_of(nodes: list[Node], *tensors: Tensor) -> IntegerGraph:
    table = {item.name: item for item in tensors}
    return IntegerGraph("g", tensors[0].name, tensors[-1].name, tuple(nodes), table)


def block() -> IntegerGraph:
    """A depthwise convolution, its codes added to the input, codes of the sum."""
    weights = np.array([[[[1, -1]]], [[[2, 0]]]])
    table = np.array([[-2, 0, 3], [1, 1, 9]])
    return graph_of(
        [
            Conv("conv", "block.conv", ("x",), "acc", weights, (1, 1), (0, 1, 0, 0), groups=2),
            Threshold("act", "block.act", ("acc",), "code", table, -1),
            Add("join", "block", ("code", "x"), "sum"),
            Threshold("last", "block.last", ("sum",), "out", table, 0),
        ],
        tensor("x", (2, 2, 2), 0, 3),
        tensor("acc", (2, 2, 2), -3, 6),
        tensor("code", (2, 2, 2), -1, 2),
        tensor("sum", (2, 2, 2), -1, 5),
        tensor("out", (2, 2, 2), 0, 3),
    )


def changed(graph: IntegerGraph, index: int, **values: object) -> IntegerGraph:
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **values)
    return replace(graph, nodes=tuple(nodes))


def test_a_sound_graph_passes_and_its_codes_keep_to_their_intervals() -> None:
    graph = block()
    check_graph(graph)
    codes = run_reference(graph, np.random.default_rng(0).integers(0, 4, (500, 2, 2, 2)))
    for name, made in codes.items():
        found = graph.tensors[name]
        assert found.lo <= made.min() and made.max() <= found.hi, name


@pytest.mark.parametrize(
    ("index", "values", "message"),
    [
        (1, {"thresholds": np.array([[0, -2, 3], [1, 1, 9]])}, "channel 0 do not ascend"),
        (3, {"thresholds": np.array([[0, 2, 3], [1, 2, 1]])}, "channel 1 do not ascend"),
        (1, {"thresholds": np.array([[0, 2, 3]])}, "1 rows of thresholds for 2 channels"),
        (3, {"base": 1}, "codes from 1 on do not fit 2 bits"),
        (2, {"inputs": ("code", "out")}, "reads `out` before it is made"),
        (2, {"inputs": ("code",)}, "has 1 inputs"),
        (3, {"output": "code"}, "`code` is made twice"),
        (0, {"pads": (0, 0, 0, 0)}, "becomes .2, 2, 1., not .2, 2, 2."),
        (0, {"groups": 1}, "becomes None"),
    ],
)
def test_a_graph_that_breaks_a_rule_is_named_by_layer_and_rule(
    index: int, values: dict[str, object], message: str
) -> None:
    graph = changed(block(), index, **values)
    with pytest.raises(PassError, match=message) as caught:
        check_graph(graph)
    assert graph.nodes[index].layer in caught.value.what
    assert caught.value.where is not None and graph.nodes[index].name in caught.value.where


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("x", {"scale": Fraction(1, 2)}, "different scales"),
        ("sum", {"lo": -9}, "do not fit 4 bits"),
        ("acc", {"dtype": IntType(33, True)}, "needs 33 bits"),
        ("sum", {"shape": (2, 4)}, "not .2, 4."),
    ],
)
def test_a_tensor_that_does_not_fit_its_node_is_found(
    name: str, values: dict[str, object], message: str
) -> None:
    graph = block()
    graph.tensors[name] = replace(graph.tensors[name], **values)
    with pytest.raises(PassError, match=message):
        check_graph(graph)


def test_an_output_that_nothing_makes_is_found() -> None:
    with pytest.raises(PassError, match="nothing makes the output `nowhere`"):
        check_graph(replace(block(), output="nowhere"))


def test_a_fork_makes_a_sum_a_boundary() -> None:
    graph = block()
    assert graph.boundaries() == ["code", "out"]
    second = Threshold("more", "block.more", ("sum",), "more", np.zeros((2, 1), np.int64), 0)
    forked = replace(graph, nodes=(*graph.nodes, second))
    assert forked.boundaries() == ["code", "sum", "out", "more"]


codes = st.integers(-3, 3)


@settings(max_examples=40, deadline=None)
@given(codes, codes, codes, codes, st.integers(1, 4))
def test_intervals_of_sums_are_exactly_what_brute_force_finds(
    a: int, b: int, c: int, d: int, pixels: int
) -> None:
    left, right = sorted((a, b)), sorted((c, d))
    found = Intervals((left[0],), (left[1],)).plus(Intervals((right[0],), (right[1],)))
    sums = [x + y for x in range(left[0], left[1] + 1) for y in range(right[0], right[1] + 1)]
    assert found.bounds == (min(sums), max(sums))
    means = [sum(p) for p in itertools.product(range(left[0], left[1] + 1), repeat=pixels)]
    assert Intervals((left[0],), (left[1],)).times(pixels).bounds == (min(means), max(means))


def assert_same_at_every_level(graph: IntegerGraph, inputs: np.ndarray, folder: Path) -> None:
    expected = run_reference(graph, inputs)
    emit_onnx(graph, folder / "int.onnx", taps=True)
    for level in OPTIMIZATION_LEVELS:
        found = IntSimulator(folder / "int.onnx", level=level).run(inputs)
        wrong = [name for name in expected if not np.array_equal(found[name], expected[name])]
        assert wrong == [], level


def test_a_block_by_hand_is_the_same_at_every_level(tmp_path: Path) -> None:
    inputs = np.array(list(itertools.product(range(4), repeat=4))).reshape(-1, 1, 2, 2)
    inputs = np.concatenate([inputs, inputs[::-1]], axis=1).astype(np.uint8)
    assert_same_at_every_level(block(), inputs, tmp_path)


@pytest.mark.parametrize("levels", [1, 3, 60])
@pytest.mark.parametrize("side", [3, 260])
def test_sums_beyond_24_bits_stay_exact_through_pixels_branches_and_layers(
    levels: int, side: int, tmp_path: Path
) -> None:
    """A map of 260 by 260 bytes sums to 17,238,000, beyond float32's integers."""
    rng = np.random.default_rng(1)
    most = 255 * side * side
    spread = np.linspace(1, 2 * most, levels).astype(np.int64)
    weights = rng.integers(-7, 8, (5, 3))
    sums = Intervals((0,) * 3, (2 * most,) * 3)
    bounds = accumulator_intervals(weights, 0, 2 * most).bounds
    graph = graph_of(
        [
            GlobalSum("pool", "pool", ("x",), "a"),
            MaxPool("max", "max", ("x",), "m", (2, 2), (1, 1), (1, 1, 0, 0)),
            GlobalSum("pool2", "pool2", ("m",), "b"),
            Add("join", "join", ("a", "b"), "sum"),
            Threshold("t", "t", ("sum",), "code", np.stack([spread] * 3), 0),
            Dense("head", "head", ("sum",), "wide", weights),
            Dense("tail", "tail", ("code",), "logits", weights),
        ],
        tensor("x", (3, side, side), 0, 255),
        tensor("a", (3,), 0, most),
        tensor("m", (3, side, side), 0, 255),
        tensor("b", (3,), 0, most),
        tensor("sum", (3,), *sums.bounds),
        tensor("code", (3,), 0, levels),
        tensor("wide", (5,), *bounds),
        tensor("logits", (5,), -7 * 3 * levels, 7 * 3 * levels),
    )
    check_graph(graph)
    inputs = rng.integers(0, 256, (4, 3, side, side)).astype(np.uint8)
    inputs[0], inputs[1, 0] = 255, 255
    inputs[0, :, 0, 0] = 254  # An odd sum: float32 holds only even integers beyond 2^24.
    assert_same_at_every_level(graph, inputs, tmp_path)


def test_a_max_pool_does_not_see_its_padding() -> None:
    node = MaxPool("max", "max", ("x",), "y", (3, 3), (2, 2), (1, 1, 1, 1))
    graph = graph_of([node], tensor("x", (1, 3, 3), -4, -1), tensor("y", (1, 2, 2), -4, -1))
    check_graph(graph)
    found = run_reference(graph, np.arange(-12, -3).reshape(1, 1, 3, 3))["y"]
    assert found.tolist() == [[[[-8, -7], [-5, -4]]]]
