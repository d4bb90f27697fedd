"""The netlist that synthesis leaves is the design: same results in Verilator, with stalls."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import toy_core

from qdeploy.design.packing import pack, unpack
from qdeploy.devices.boards import load_board
from qdeploy.sim.model import build_model
from qdeploy.sim.netlist import verilator_settings
from qdeploy.sim.netlist_text import cell_sources, primitives, read_netlist
from qdeploy.sim.spec import Port, SimSpec
from qdeploy.synth.synthesize import synthesize

_TOP = """
module toy_top (
  input wire clk, input wire rst_n,
  input wire [23:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
  output wire [15:0] m_axis_tdata, output wire m_axis_tvalid, output wire m_axis_tlast,
  input wire m_axis_tready
);
  toy_core core (.clk(clk), .rst_n(rst_n), .s_axis_tdata(~s_axis_tdata),
    .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready), .m_axis_tdata(m_axis_tdata),
    .m_axis_tvalid(m_axis_tvalid), .m_axis_tlast(m_axis_tlast), .m_axis_tready(m_axis_tready));
endmodule
"""


@pytest.mark.slow
def test_top_and_layers_joined_into_one_netlist_compute_what_the_design_does(
    tmp_path: Path,
) -> None:
    design = toy_core.write_core(tmp_path / "rtl")
    (tmp_path / "rtl/toy_top.v").write_text(_TOP, encoding="utf-8")
    design = dataclasses.replace(design, top="toy_top", sources=["toy_core.v", "toy_top.v"])
    synthesize(tmp_path / "rtl", design, tmp_path / "synth", load_board("pynq-z2"))
    netlist = tmp_path / "synth/netlist.v"
    modules = read_netlist(netlist)
    spec = SimSpec(
        top="toy_top",
        sources=[netlist, *cell_sources(primitives(modules, modules))],
        folder=tmp_path / "synth",
        inputs=[Port("s_axis", 24)],
        outputs=[Port("m_axis", 16, last=True)],
        settings=verilator_settings(list(modules)),
        optimize="-O0",
    )
    raw = toy_core.frames(6)
    codes = 255 - raw.transpose(0, 2, 3, 1)  # the top inverts its input
    beats = pack(codes, 8, 3)
    found = build_model(spec, tmp_path / "sim").run([beats], [30], stall_in=0.3, stall_out=0.3)
    sums = unpack(found.outputs[0], toy_core.BITS, 1, signed=True).reshape(6, -1)
    np.testing.assert_array_equal(sums, toy_core.expected(raw))
