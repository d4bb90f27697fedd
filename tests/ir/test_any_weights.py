"""Widths that hold whatever weights, thresholds and biases of the same bits there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import small_convnet, small_mobilenet, small_resnet, small_unet
from runtime_weights import loadable_mlp, with_random_numbers

from qdeploy.ir.any_weights import for_any_weights, weight_kind
from qdeploy.ir.integer_graph import Conv, Dense
from qdeploy.ir.reference import run_reference
from qdeploy.ir.rules import check_graph

NETWORKS = [loadable_mlp, small_convnet, small_resnet, small_mobilenet, small_unet]


@pytest.mark.parametrize("make", NETWORKS)
@given(seed=st.integers(0, 1 << 20))
def test_every_tensor_holds_what_other_numbers_make(make, seed: int) -> None:
    maker = make(seed % 5)
    wide = for_any_weights(maker.graph())
    check_graph(wide)
    other = with_random_numbers(wide, seed)
    found = run_reference(other, maker.frames(2))
    for name in wide.boundaries():
        tensor = wide.tensors[name]
        assert tensor.dtype.lo <= tensor.lo <= found[name].min()
        assert found[name].max() <= tensor.hi <= tensor.dtype.hi


def test_the_ends_are_reached() -> None:
    graph = loadable_mlp(0).graph()
    wide = for_any_weights(graph)
    layer = next(node for node in wide.nodes if isinstance(node, Dense))
    kind, source = weight_kind(layer.weights), wide.tensors[layer.inputs[0]]
    sums = wide.tensors[layer.output]
    assert sums.lo == layer.weights.shape[1] * kind.lo * source.hi
    assert sums.hi == layer.weights.shape[1] * kind.hi * source.hi + 1


def test_arrays_and_other_tensors_stay() -> None:
    graph = small_resnet(0).graph()
    wide = for_any_weights(graph)
    assert wide.tensors["x"] == graph.tensors["x"]
    for before, after in zip(graph.nodes, wide.nodes, strict=True):
        assert before is after
        if isinstance(before, Conv):
            old, new = (one.tensors[before.output] for one in (graph, wide))
            assert new.lo <= old.lo and old.hi < new.hi and new.shape == old.shape
    assert np.array_equal([*graph.tensors], [*wide.tensors])
