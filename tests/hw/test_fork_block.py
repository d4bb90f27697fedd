"""qd_fork: both outputs give every beat once, whatever the other does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from block_models import STALLS
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack
from qdeploy.resources import resource
from qdeploy.sim.model import build_model
from qdeploy.sim.spec import Port, SimSpec

# Three readers from two forks, as a design stitches them.
TREE = """
module three #(parameter WIDTH = 8) (
  input wire clk, input wire rst_n,
  input wire [WIDTH-1:0] s_tdata, input wire s_tvalid, output wire s_tready,
  output wire [WIDTH-1:0] m0_tdata, output wire m0_tvalid, input wire m0_tready,
  output wire [WIDTH-1:0] m1_tdata, output wire m1_tvalid, input wire m1_tready,
  output wire [WIDTH-1:0] m2_tdata, output wire m2_tvalid, input wire m2_tready);
  wire [WIDTH-1:0] tdata;
  wire tvalid, tready;
  qd_fork #(.WIDTH(WIDTH)) first (.clk(clk), .rst_n(rst_n),
    .s_tdata(s_tdata), .s_tvalid(s_tvalid), .s_tready(s_tready),
    .m0_tdata(m0_tdata), .m0_tvalid(m0_tvalid), .m0_tready(m0_tready),
    .m1_tdata(tdata), .m1_tvalid(tvalid), .m1_tready(tready));
  qd_fork #(.WIDTH(WIDTH)) second (.clk(clk), .rst_n(rst_n),
    .s_tdata(tdata), .s_tvalid(tvalid), .s_tready(tready),
    .m0_tdata(m1_tdata), .m0_tvalid(m1_tvalid), .m0_tready(m1_tready),
    .m1_tdata(m2_tdata), .m1_tvalid(m2_tvalid), .m1_tready(m2_tready));
endmodule
"""


@pytest.fixture(params=[1, 12, 70], scope="module")
def case(request, block_sim):
    width = request.param
    outputs = [("m0", width), ("m1", width)]
    sim = block_sim("qd_fork", {"WIDTH": width}, inputs=[("s", width)], outputs=outputs)
    rng = np.random.default_rng(width)
    beats = pack(rng.integers(0, 2, 400 * width), 1, width)
    return sim, beats


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.0, 0.9)])
def test_each_output_gives_every_beat_once_under_stalls(case, stall_in, stall_out):
    sim, beats = case
    result = sim.run([beats], [400, 400], stall_in=stall_in, stall_out=stall_out, seed=7)
    assert_array_equal(result.outputs[0], beats)
    assert_array_equal(result.outputs[1], beats)


def test_takes_a_beat_every_cycle_and_gives_it_in_the_same(case):
    sim, beats = case
    result = sim.run([beats], [400, 400])
    assert_array_equal(np.diff(result.input_cycles[0]), 1)
    assert_array_equal(result.output_cycles[0], result.input_cycles[0])
    assert_array_equal(result.output_cycles[1], result.input_cycles[0])


def test_an_output_does_not_wait_for_the_other(case):
    sim, beats = case
    result = sim.run([beats], [400, 400], stall_out=0.6, seed=2)
    first, second = result.output_cycles
    assert (first < second).any() and (second < first).any()
    assert_array_equal(np.maximum(first, second), result.input_cycles[0])
    # A beat leaves when both readers have been ready once, after 3.4 cycles on average, not the
    # 6.3 of readers that have to be ready together.
    assert np.diff(result.input_cycles[0]).mean() < 4


def test_a_tree_of_forks_serves_three_readers(tmp_path, pytestconfig):
    (tmp_path / "three.v").write_text(TREE, encoding="utf-8")
    spec = SimSpec(
        top="three",
        sources=[tmp_path / "three.v", resource("hw/rtl/qd_fork.v")],
        folder=tmp_path,
        inputs=[Port("s", 8)],
        outputs=[Port(f"m{i}", 8) for i in range(3)],
        optimize="-O1",
    )
    sim = build_model(spec, Path(pytestconfig.cache.mkdir("simulators")))
    beats = np.random.default_rng(0).integers(0, 256, (300, 1)).astype(np.uint8)
    for seed, (stall_in, stall_out) in enumerate(STALLS):
        result = sim.run([beats], [300] * 3, stall_in=stall_in, stall_out=stall_out, seed=seed)
        for output in result.outputs:
            assert_array_equal(output, beats)
        if stall_in == stall_out == 0:
            assert result.cycles <= 300
