"""The RTL backends are operators of FINN: FINN's own passes see and build them."""

from __future__ import annotations

from pathlib import Path

import pytest
from finn.analysis.fpgadataflow.exp_cycles_per_layer import exp_cycles_per_layer
from finn.transformation.fpgadataflow.prepare_ip import PrepareIP
from qonnx.custom_op.registry import getCustomOp
from random_graphs import GraphMaker, small_convnet

from qdeploy.dataflow.compile import connect, hardware_layers
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.fold import fold
from qdeploy.dataflow.rtl.unit import Block, chain, padded, single
from qdeploy.errors import InternalError

PART = "xc7z020clg400-1"


@pytest.fixture
def model():
    layers = hardware_layers(small_convnet().graph())
    fold(layers, Budget(lut=53200, bram36=140, dsp=220), 1500)
    return connect(layers)


def test_finns_cycle_analysis_sees_every_layer(model) -> None:
    cycles = exp_cycles_per_layer(model)
    assert set(cycles) == {node.name for node in model.graph.node}
    assert max(cycles.values()) <= 1500


def test_finns_ip_generation_writes_each_layers_verilog(model) -> None:
    built = model.transform(PrepareIP(PART, 10.0))
    for node in built.graph.node:
        files = [Path(file) for file in getCustomOp(node).get_rtl_file_list(abspath=True)]
        assert f"module {node.name} (" in "".join(file.read_text() for file in files)


def test_a_layer_states_its_interface_as_finn_expects(model) -> None:
    for node in model.graph.node:
        inst = getCustomOp(node)
        unit = inst.unit(model)
        assert padded(unit.in_bits[0]) == inst.get_instream_width_padded(0)
        assert padded(unit.out_bits[0]) == inst.get_outstream_width_padded(0)


def test_accumulators_are_as_wide_as_their_exact_interval_and_no_wider() -> None:
    maker = GraphMaker(0, (6,), bits=2).dense(4)
    graph = maker.threshold().graph()
    node = hardware_layers(graph).graph.node[0]
    source = graph.tensors["fc0.acc"]
    bits = getCustomOp(node).get_accumulator_datatype().bitwidth()
    assert -(1 << (bits - 1)) <= source.lo
    assert source.hi < 1 << (bits - 1)
    narrower = 1 << (bits - 2)
    assert source.lo < -narrower or source.hi >= narrower


def test_neighbouring_blocks_of_different_width_are_refused() -> None:
    unit = chain([Block("qd_dwc", {}, (8,), (16,)), Block("qd_dwc", {}, (24,), (8,))])
    with pytest.raises(InternalError, match="has 16 bits"):
        unit.verilog("broken")


def test_padding_bits_are_cut_on_the_way_in_and_zero_on_the_way_out() -> None:
    text = single(Block("qd_maxpool", {"K": 4, "PE": 3, "BITS": 2}, (6,), (6,))).verilog("pool")
    assert "in0_V_TDATA[5:0]" in text
    assert "{{2{1'b0}}, out0_tdata}" in text
