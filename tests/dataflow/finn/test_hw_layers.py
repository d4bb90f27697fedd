"""FINN's hardware layers, executed by FINN, are the integer graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import GraphMaker, small_convnet, small_mlp

from qdeploy.dataflow.compile import connect, hardware_layers
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.fold import fold
from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Conv
from qdeploy.ir.reference import run_reference

BUDGET = Budget(lut=53200, bram36=140, dsp=220)


def assert_same_codes(maker: GraphMaker, frames: int = 4) -> None:
    graph, codes = maker.graph(), maker.frames(frames)
    expected = run_reference(graph, codes)
    actual = DataflowExecutor(hardware_layers(graph), graph).run(codes)
    for name in graph.boundaries():
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


@pytest.mark.parametrize("make", [small_convnet, small_mlp])
def test_hardware_layers_compute_the_integer_graph(make) -> None:
    assert_same_codes(make())


def test_bias_and_argmax_become_hardware_layers() -> None:
    maker = GraphMaker(3, (5,), bits=3).dense(8).threshold().dense(6, weight_bits=8)
    assert_same_codes(maker.bias())
    assert_same_codes(maker.argmax())


def test_signed_codes_and_many_levels_become_hardware_layers() -> None:
    maker = GraphMaker(4, (3, 5, 5)).conv(5, weight_bits=3).threshold(bits=4, base=-8)
    maker.conv(4).threshold(bits=6)
    assert_same_codes(maker)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_random_chains_compute_the_integer_graph(data: st.DataObject) -> None:
    draw = data.draw
    side = st.integers(5, 9)
    maker = GraphMaker(
        draw(st.integers(0, 999)),
        (draw(st.integers(1, 3)), draw(side), draw(side)),
        bits=draw(st.integers(1, 8)),
    )
    for _ in range(draw(st.integers(1, 2))):
        maker.conv(
            draw(st.sampled_from([1, 2, 5, 8])),
            kernel=tuple(draw(st.integers(1, min(3, size))) for size in maker.now.shape[1:]),
            stride=(draw(st.integers(1, 2)), draw(st.integers(1, 2))),
            pads=tuple(draw(st.integers(0, 1)) for _ in range(4)),
            weight_bits=draw(st.integers(2, 5)),
        )
        maker.threshold(bits=draw(st.integers(1, 4)))
        if min(maker.now.shape[1:]) >= 4 and draw(st.booleans()):
            maker.max_pool()
    if draw(st.booleans()):
        maker.flatten().dense(draw(st.integers(1, 6)), weight_bits=4)
    assert_same_codes(maker, frames=3)


def test_names_carry_the_layer_down_to_every_hardware_layer() -> None:
    model = hardware_layers(small_convnet().graph())
    fold(model, BUDGET)
    names = [node.name for node in connect(model).graph.node]
    assert len(set(names)) == len(names)
    assert "conv0_conv_mvau" in names
    assert "pool2_max_pool" in names
    assert all(name.split("_")[0] in {"conv0", "pool2", "conv3", "fc6"} for name in names)


def test_grouped_convolution_is_refused_by_name() -> None:
    maker = GraphMaker(0, (4, 5, 5)).conv(4).threshold()
    graph = maker.graph()
    conv = next(node for node in graph.nodes if isinstance(node, Conv))
    grouped = Conv(
        conv.name,
        conv.layer,
        conv.inputs,
        conv.output,
        weights=conv.weights[:, :2],
        pads=conv.pads,
        groups=2,
    )
    nodes = tuple(grouped if node is conv else node for node in graph.nodes)
    broken = type(graph)(graph.name, graph.input, graph.output, nodes, graph.tensors)
    with pytest.raises(UnsupportedLayerError, match=r"conv0.*grouped"):
        hardware_layers(broken)
