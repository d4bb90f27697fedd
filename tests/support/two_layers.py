"""A design of two layers in three files, of which the second limits the clock."""

from __future__ import annotations

from pathlib import Path

from qdeploy.design.manifest import Connection, Design, End, Layer, Stream

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
