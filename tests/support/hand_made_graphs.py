"""Integer graphs made by hand, node by node."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from qdeploy.ir.integer_graph import (
    Add,
    Conv,
    Dense,
    IntegerGraph,
    IntType,
    Node,
    Tensor,
    Threshold,
)


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


def dense_graph(features: int) -> IntegerGraph:
    """Bytes, a fully connected layer of ternary weights with two-bit codes, logits of four."""
    rng = np.random.default_rng(features)
    first, last = rng.integers(-1, 2, (8, features)), rng.integers(-1, 2, (4, 8))
    wide, high = 255 * features, 3 * 8
    table = np.sort(rng.integers(-400, 400, (8, 3)))
    return graph_of(
        [
            Dense("fc1", "fc1", ("x",), "acc", first),
            Threshold("act", "act", ("acc",), "code", table, 0),
            Dense("fc2", "fc2", ("code",), "logits", last),
        ],
        tensor("x", (features,), 0, 255),
        tensor("acc", (8,), -wide, wide),
        tensor("code", (8,), 0, 3),
        tensor("logits", (4,), -high, high),
    )
