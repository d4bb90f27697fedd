"""Whether two integer graphs are the same in every field; their own `==` cannot compare arrays."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from qdeploy.ir.integer_graph import IntegerGraph, Node


def assert_same_graph(found: IntegerGraph, expected: IntegerGraph) -> None:
    """Every field, the tensors in order and the nodes are equal and of the same type."""
    for item in fields(IntegerGraph):
        if item.name not in ("nodes", "tensors"):
            _assert_same(getattr(found, item.name), getattr(expected, item.name), item.name)
    assert list(found.tensors.items()) == list(expected.tensors.items())
    assert len(found.nodes) == len(expected.nodes)
    for one, other in zip(found.nodes, expected.nodes, strict=True):
        _assert_same_node(one, other)


def _assert_same_node(found: Node, expected: Node) -> None:
    assert type(found) is type(expected)
    for item in fields(expected):
        one, other = getattr(found, item.name), getattr(expected, item.name)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype == np.int64, item.name
            assert np.array_equal(one, other), item.name
        else:
            _assert_same(one, other, item.name)


def _assert_same(found: object, expected: object, name: str) -> None:
    assert (type(found), found) == (type(expected), expected), name
