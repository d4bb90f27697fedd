"""Types on wires, and which tensors are streams in hardware."""

from dataclasses import replace

import numpy as np
from hand_made_graphs import block
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.ir.integer_graph import IntType, Threshold


@settings(max_examples=200, deadline=None)
@given(st.integers(-(2**33), 2**33), st.integers(0, 2**33))
def test_a_type_holds_its_interval_and_one_bit_less_does_not(lo: int, more: int) -> None:
    hi = lo + more
    found = IntType.holding(lo, hi)
    assert found.signed is (lo < 0)
    assert found.lo <= lo <= hi <= found.hi
    if found.bits > 1:
        narrower = IntType(found.bits - 1, found.signed)
        assert lo < narrower.lo or hi > narrower.hi


def test_a_fork_makes_a_sum_a_boundary() -> None:
    graph = block()
    assert graph.boundaries() == ["code", "out"]
    second = Threshold("more", "block.more", ("sum",), "more", np.zeros((2, 1), np.int64), 0)
    forked = replace(graph, nodes=(*graph.nodes, second))
    assert forked.boundaries() == ["code", "sum", "out", "more"]
