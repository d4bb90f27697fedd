"""Integer graphs made by hand, node by node."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from qdeploy.ir.integer_graph import Add, Conv, IntegerGraph, IntType, Node, Tensor, Threshold


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
