"""Widths in hardware: as wide as the worst frames need, and not a bit wider."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from draw_networks import RandomDraw, draw_network
from hypothesis import given, settings
from hypothesis import strategies as st
from qonnx.custom_op.registry import getCustomOp
from random_graphs import GraphMaker, small_mobilenet, small_resnet
from worst_frames import worst_frames

from qdeploy.dataflow.compile import connect, hardware_layers
from qdeploy.dataflow.finn.boundaries import boundary_nodes, owner_of
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.fold import fold
from qdeploy.dataflow.rtl.products import DotKind
from qdeploy.ir.integer_graph import Add, Conv, Dense, GlobalSum, IntegerGraph, IntType, Threshold
from qdeploy.ir.reference import evaluate
from qdeploy.lowering.integers.lower import lower_with_affine

BUDGET = Budget(lut=53200, bram36=140, dsp=220)


def attained(graph: IntegerGraph, node: Conv | Dense) -> tuple[int, int]:
    """Smallest and largest sum over all channels, computed on frames built to reach them."""
    source = graph.tensors[node.inputs[0]]
    sums = [
        evaluate(node, worst_frames(node, source, channel))[:, channel]
        for channel in range(len(node.weights))
    ]
    return min(int(s.min()) for s in sums), max(int(s.max()) for s in sums)


def signed_bits(lo: int, hi: int) -> int:
    return IntType.holding(min(lo, -1), hi).bits


def bits_of(dtype: Any) -> int:
    return int(dtype.bitwidth())


def assert_widths_are_exact(graph: IntegerGraph) -> int:
    """Compares every unit that accumulates or adds; returns how many there were."""
    model, count = hardware_layers(graph), 0
    for node in model.graph.node:
        owner, inst = owner_of(model, node, graph), getCustomOp(node)
        if not node.op_type.startswith(("MVAU", "VVAU", "ElementwiseAdd", "GlobalAccPool")):
            continue
        result = graph.tensors[owner.output]
        if isinstance(owner, Conv | Dense):
            lo, hi = attained(graph, owner)
            assert (lo, hi) == (result.lo, result.hi), owner.name
            assert bits_of(inst.get_accumulator_datatype()) == signed_bits(lo, hi), owner.name
            parameters = inst.unit(model).instances[0].block.parameters
            users = graph.consumers(owner.output)
            inside = isinstance(users[0], Threshold) if len(users) == 1 else False
            table = users[0].thresholds if inside else np.array([lo])
            needed = signed_bits(min(lo, int(table.min())), max(hi, int(table.max())))
            if parameters.get("DOT") == DotKind.XNOR:
                # Sums of MW times -1 or +1, whatever the codes.
                ends = [-int(parameters["MW"]), int(parameters["MW"])]
                ends += inst.table(model).flatten().tolist() if inside else []
                needed = max(needed, signed_bits(min(ends), max(ends)))
            assert signed_bits(lo, hi) <= parameters["ACC"] <= needed, owner.name
        elif isinstance(owner, Add | GlobalSum):
            sources = [graph.tensors[name] for name in owner.inputs]
            lo, hi = sum(s.lo for s in sources), sum(s.hi for s in sources)
            if isinstance(owner, GlobalSum):
                pixels = sources[0].size // sources[0].shape[0]
                lo, hi = lo * pixels, hi * pixels
            assert (lo, hi) == (result.lo, result.hi), owner.name
            found = inst.get_output_datatype()
            assert bits_of(found) == IntType.holding(lo, hi).bits, owner.name
            assert found.signed() is (lo < 0), owner.name
            assert inst.unit(model).instances[-1].block.parameters["OB"] == bits_of(found)
        count += 1
    return count


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_accumulators_and_sums_of_random_networks_are_exactly_wide_enough(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    network = draw_network(RandomDraw(np.random.default_rng(seed)), seed)
    path = network.save(tmp_path_factory.mktemp("widths") / "network.onnx")
    assert assert_widths_are_exact(lower_with_affine(path).graph) > 0


def test_a_sum_of_codes_that_are_never_negative_has_no_sign() -> None:
    maker = GraphMaker(4, (2, 5, 5)).conv(3).threshold(bits=2)
    first = maker.mark()
    graph = maker.conv(3).threshold(bits=2).add(first).global_sum().dense(3).graph()
    total, pooled = (graph.nodes[index].output for index in (4, 5))
    model = hardware_layers(graph)
    made = boundary_nodes(model, graph)
    widths = [model.get_tensor_datatype(made[name].output[0]).name for name in (total, pooled)]
    assert widths == ["UINT3", "UINT8"]  # up to 2 * 3, and to 25 times that


@pytest.mark.parametrize("maker", [small_resnet, small_mobilenet])
def test_streams_and_fifos_are_as_wide_as_the_codes_in_a_beat(maker: Any) -> None:
    graph = maker().graph()
    model = hardware_layers(graph)
    fold(model, BUDGET, 3000)
    made = boundary_nodes(model, graph)
    for name, node in made.items():
        tensor, found = graph.tensors[name], model.get_tensor_datatype(node.output[0])
        producer = graph.producer(name)
        exact = tensor.dtype.bits
        if isinstance(producer, Conv | Dense):
            exact = signed_bits(tensor.lo, tensor.hi)
        if isinstance(producer, Add | GlobalSum):
            exact = IntType.holding(tensor.lo, tensor.hi).bits
        assert bits_of(found) == exact, name
    joined = connect(model)
    fifos = [node for node in joined.graph.node if node.op_type.startswith("StreamingFIFO")]
    assert len(fifos) >= 8
    for node in fifos:
        producer = joined.find_producer(node.input[0])
        inst = getCustomOp(node)
        lanes = int(inst.get_folded_output_shape()[-1])
        code = bits_of(joined.get_tensor_datatype(node.output[0]))
        assert inst.unit(joined).instances[0].block.parameters["WIDTH"] == lanes * code, node.name
        if producer is not None:
            assert getCustomOp(producer).get_outstream_width(0) == lanes * code, node.name
