"""A whole design through the real Yosys and nextpnr; its longest path names layers."""

from __future__ import annotations

from pathlib import Path

from qdeploy.build_folder import read_timing
from qdeploy.design.manifest import Connection, Design, End, Layer, Stream
from qdeploy.synth.nextpnr import NextPnr
from qdeploy.synth.path_ends import WIRING
from qdeploy.synth.place_design import layer_at, place_design

_SLOW = """
module slow (input wire clk, input wire [7:0] in, output reg [7:0] out);
  reg [7:0] held;
  always @(posedge clk) begin
    held <= in;
    out <= held * held * held * held;
  end
endmodule
"""
_FAST = """
module fast (input wire clk, input wire [7:0] in, output reg [7:0] out);
  always @(posedge clk) out <= in ^ {in[0], in[7:1]};
endmodule
"""
_TOP = """
module toy (
  input wire clk, input wire rst_n,
  input wire [7:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
  output wire [7:0] m_axis_tdata, output reg m_axis_tvalid, input wire m_axis_tready,
  output reg m_axis_tlast
);
  wire [7:0] d1;
  fast fast_i (.clk(clk), .in(s_axis_tdata), .out(d1));
  slow slow_i (.clk(clk), .in(d1), .out(m_axis_tdata));
  always @(posedge clk) {m_axis_tlast, m_axis_tvalid} <= {m_axis_tready, s_axis_tvalid & rst_n};
  assign s_axis_tready = m_axis_tvalid;
endmodule
"""


def small_design(folder: Path) -> Design:
    """Two layers, of which the second limits the clock."""
    folder.mkdir()
    for name, text in (("slow", _SLOW), ("fast", _FAST), ("toy", _TOP)):
        (folder / f"{name}.v").write_text(text, encoding="utf-8")
    layers = [Layer(f"layer_{name}", name, "MVAU", name, 4) for name in ("fast", "slow")]
    ends = [End("", "s_axis"), End("fast", "in0"), End("fast", "out0"), End("slow", "in0")]
    s_axis, m_axis = (Stream(name, name, (4,), 8, False, 1) for name in ("s_axis", "m_axis"))
    return Design(
        name="toy",
        top="toy",
        board="pynq-z2",
        part="xc7z020clg400-1",
        clock_mhz=100.0,
        sources=["slow.v", "fast.v", "toy.v"],
        memories=[],
        input=s_axis,
        output=m_axis,
        taps=[],
        fifos=[],
        layers=layers,
        streams=[Connection(0, 8, ends[0], ends[1]), Connection(1, 8, ends[2], ends[3])],
    )


def test_the_longest_path_of_a_design_lies_in_its_slow_layer(tmp_path: Path) -> None:
    design = small_design(tmp_path / "rtl")
    before = sorted(path.name for path in (tmp_path / "rtl").iterdir())
    found = place_design(tmp_path / "rtl", design, NextPnr(tmp_path / "store"))
    assert (found.source, found.sink) == ("layer_slow", "layer_slow")
    assert 10 < found.timing.fmax_mhz < 400
    assert found.timing.used["TRELLIS_IO"] == 3
    assert sorted(path.name for path in (tmp_path / "rtl").iterdir()) == before
    found.save(tmp_path)
    record = read_timing(tmp_path)
    assert record is not None
    assert record["fmax_mhz"] == found.timing.fmax_mhz
    assert record["path_to"] == "layer_slow"
    assert "Lattice ECP5" in record["part"]


def test_a_wire_belongs_to_the_layer_that_drives_it(tmp_path: Path) -> None:
    design = small_design(tmp_path / "rtl")
    assert layer_at(design, "0.52 clk-to-q under_test.d1_TRELLIS_FF_Q_3.Q") == "layer_fast"
    assert layer_at(design, "0.52 clk-to-q under_test.slow_i.held.Q") == "layer_slow"
    assert layer_at(design, "0.52 clk-to-q under_test.m_axis_tvalid") == WIRING
    assert layer_at(design, "0.52 clk-to-q feed_TRELLIS_FF_Q.Q") == WIRING
