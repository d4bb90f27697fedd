"""The integer graph as text: a small one written by hand, and what holds for every graph."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from random_graphs import small_convnet, small_mlp, small_mobilenet, small_resnet

from qdeploy.ir.file import read_graph, write_graph
from qdeploy.ir.head import Head
from qdeploy.ir.integer_graph import (
    Add,
    Bias,
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
from qdeploy.ir.text import HEADINGS, graph_text


def tiny() -> IntegerGraph:
    """A depthwise convolution with a shortcut, pooled, and a fully connected layer with bias."""
    nodes: list[Node] = [
        Conv(
            "stem.conv",
            "stem",
            ("input",),
            "stem.acc",
            np.array([[[[1, -1]]], [[[2, 0]]]]),
            pads=(0, 1, 0, 0),
            groups=2,
        ),
        Threshold(
            "stem.quant", "stem.act", ("stem.acc",), "code", np.array([[-2, 0, 3], [1, 1, 9]]), -1
        ),
        Add("join.add", "join", ("code", "input"), "sum"),
        MaxPool("pool.max", "pool", ("sum",), "most", (2, 2), (2, 2)),
        GlobalSum("mean.sum", "mean", ("most",), "total"),
        Dense("head.dense", "head", ("total",), "head.acc", np.array([[1, 0], [0, 0], [-1, 1]])),
        Bias("head.bias", "head", ("head.acc",), "logits", np.array([-4, 0, 3])),
    ]
    half = Fraction(1, 2)
    tensors = [
        Tensor("input", (2, 2, 2), IntType(2, False), 0, 3, half),
        Tensor("stem.acc", (2, 2, 2), IntType(4, True), -3, 6),
        Tensor("code", (2, 2, 2), IntType(3, True), -1, 2, half),
        Tensor("sum", (2, 2, 2), IntType(4, True), -1, 5, half),
        Tensor("most", (2, 1, 1), IntType(4, True), -1, 5, half),
        Tensor("total", (2,), IntType(4, True), -1, 5, half),
        Tensor("head.acc", (3,), IntType(4, True), -6, 6),
        Tensor("logits", (3,), IntType(5, True), -10, 9),
    ]
    table = {tensor.name: tensor for tensor in tensors}
    return IntegerGraph("tiny", "input", "logits", tuple(nodes), table, Head((Fraction(1, 8),)))


def test_a_small_graph_reads_as_written_by_hand() -> None:
    golden = Path(__file__).with_name("tiny_graph.txt").read_text(encoding="utf-8")
    assert graph_text(tiny()) == golden


@pytest.mark.parametrize("make", [small_convnet, small_mlp, small_resnet, small_mobilenet])
def test_every_node_has_one_line_with_its_columns_aligned(make) -> None:
    graph = make(0).graph()
    lines = graph_text(graph).splitlines()
    table = lines[3:-2]
    starts = [table[0].index(heading) for heading in HEADINGS]
    assert len(table) == 1 + len(graph.nodes)
    for line, node in zip(table[1:], graph.nodes, strict=True):
        assert line.startswith(node.name)
        for start in starts[1:]:
            assert line[start - 2 : start] == "  "
        assert line[starts[-1] :] == node.layer
        cells = [line[a:b].strip() for a, b in pairwise(starts)]
        assert cells[1] == type(node).__name__
        assert cells[2].split(" + ") == list(node.inputs)
        assert cells[3] == node.output


def test_the_text_of_a_graph_read_back_is_the_same(tmp_path: Path) -> None:
    graph = small_resnet().graph()
    write_graph(graph, tmp_path / "graph.safetensors")
    text = graph_text(graph)
    assert graph_text(read_graph(tmp_path / "graph.safetensors")) == text


def test_a_name_cannot_write_outside_its_place() -> None:
    graph = replace(tiny(), name="a\nb\x1b[2J")
    assert graph_text(graph).startswith("integer graph `a\\nb\\x1b[2J`: 7 nodes")
