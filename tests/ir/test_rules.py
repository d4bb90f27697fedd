"""What an integer graph promises, and how a broken promise is reported."""

from dataclasses import replace

import numpy as np
import pytest
from hand_made_graphs import block, graph_of, tensor

from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import (
    Bias,
    Concat,
    Dense,
    DepthToSpace,
    Dilate,
    IntegerGraph,
    IntType,
    MaxPool,
    Node,
    Upsample,
)
from qdeploy.ir.reference import run_reference
from qdeploy.ir.rules import check_graph


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


def test_another_node_of_the_same_name_is_found() -> None:
    with pytest.raises(PassError, match="another node has its name"):
        check_graph(changed(block(), 1, name="conv"))


def test_a_tensor_that_is_missing_or_under_another_name_is_found() -> None:
    graph = block()
    with pytest.raises(PassError, match="tensor `other`: it is called `acc` itself"):
        check_graph(replace(graph, tensors={**graph.tensors, "other": graph.tensors["acc"]}))
    with pytest.raises(PassError, match="the input `nowhere` is no tensor"):
        check_graph(replace(graph, input="nowhere"))
    with pytest.raises(PassError, match="`nowhere` is no tensor of the graph"):
        check_graph(changed(graph, 3, output="nowhere"))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Bias("n", "l", ("x",), "y", np.zeros(3, np.int64)), "a bias of shape .3,. for 2 channels"),
        (MaxPool("n", "l", ("x",), "y", (0, 1)), "out of range"),
        (MaxPool("n", "l", ("x",), "y", (1, 1), (1, 0)), "out of range"),
        (MaxPool("n", "l", ("x",), "y", (1, 1), (1, 1), (0, 0, 0, -1)), "out of range"),
        (Dense("n", "l", ("x",), "y", np.zeros((2, 8), np.int64)), "becomes None"),
    ],
)
def test_parameters_that_no_arithmetic_may_meet_are_found(node: Node, message: str) -> None:
    graph = graph_of([node], tensor("x", (2, 2, 2), 0, 1), tensor("y", (2, 2, 2), 0, 1))
    with pytest.raises(PassError, match=message):
        check_graph(graph)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Concat("n", "l", ("x",), "y"), "has 1 inputs"),
        (Concat("n", "l", ("x", "z"), "y"), "becomes None"),
        (Upsample("n", "l", ("x",), "y", (0, 1)), "out of range"),
        (Upsample("n", "l", ("x",), "y", (3, 1)), "becomes .4, 6, 2., not .4, 2, 2."),
        (Dilate("n", "l", ("x",), "y", (2, 2)), "becomes .4, 3, 3., not .4, 2, 2."),
        (DepthToSpace("n", "l", ("x",), "y", 3), "becomes None"),
    ],
)
def test_joined_and_enlarged_maps_have_their_shapes(node: Node, message: str) -> None:
    tensors = [tensor(name, (4, 2, 2), 0, 3) for name in ("x", "y")]
    graph = graph_of([node], tensors[0], tensor("z", (4, 2, 3), 0, 3), tensors[1])
    if "z" in node.inputs:
        first = MaxPool("m", "m", ("x",), "z", (1, 1), (1, 1), (0, 0, 0, 1))
        graph = replace(graph, nodes=(first, node))
    with pytest.raises(PassError, match=message):
        check_graph(graph)
