"""A small hand-written design of two layers for the synthesis tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdeploy.design.manifest import Design, Layer, Stream
from qdeploy.devices.boards import load_board
from qdeploy.synth.figures import Resources
from qdeploy.synth.synthesize import synthesize

_LAYER = """
module {name} (
  input wire clk, input wire rst_n,
  input wire [7:0] in_data, output reg [7:0] out_data
);
  reg [7:0] rom [0:15];
  initial $readmemh("{memory}", rom);
  wire [7:0] square;
  square #(.W(8)) inner (.clk(clk), .a(in_data), .y(square));
  always @(posedge clk) out_data <= square + rom[in_data[3:0]];
endmodule
"""
_SQUARE = """
module square #(parameter W = 4) (
  input wire clk, input wire [W-1:0] a, output reg [W-1:0] y
);
  always @(posedge clk) y <= a * a;
endmodule
"""
_TOP = """
module toy (
  input wire clk, input wire rst_n,
  input wire [7:0] s_axis_tdata, output reg [7:0] m_axis_tdata
);
  wire [7:0] first, second;
  toy_one one (.clk(clk), .rst_n(rst_n), .in_data(s_axis_tdata), .out_data(first));
  toy_two two (.clk(clk), .rst_n(rst_n), .in_data(first), .out_data(second));
  always @(posedge clk) m_axis_tdata <= rst_n ? second : 8'd0;
endmodule
"""


def write_design(folder: Path) -> Design:
    """Write the design into `folder` and return its manifest."""
    (folder / "mem").mkdir(parents=True)
    for name, start in (("one", 1), ("two", 2)):
        text = _LAYER.format(name=f"toy_{name}", memory=f"mem/{name}.mem")
        (folder / f"toy_{name}.v").write_text(text, encoding="utf-8")
        words = "\n".join(f"{(start + 37 * k) % 256:02x}" for k in range(16))
        (folder / f"mem/{name}.mem").write_text(words + "\n", encoding="utf-8")
    (folder / "square.v").write_text(_SQUARE, encoding="utf-8")
    (folder / "toy.v").write_text(_TOP, encoding="utf-8")

    def stream(name: str) -> Stream:
        return Stream(name, name, (4,), 8, False, 1)

    design = Design(
        name="toy",
        top="toy",
        board="pynq-z2",
        part="xc7z020clg400-1",
        clock_mhz=100.0,
        sources=["square.v", "toy_one.v", "toy_two.v", "toy.v"],
        memories=["mem/one.mem", "mem/two.mem"],
        input=stream("s_axis"),
        output=stream("m_axis"),
        taps=[],
        fifos=[],
        layers=[
            Layer("one_0", "body.one", "MVAU", "toy_one", 4, {"PE": 1, "SIMD": 1}),
            Layer("two_0", "body.two", "MVAU", "toy_two", 8, {"PE": 1, "SIMD": 1}),
        ],
    )
    design.save(folder)
    return design


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Design]:
    """Folder and manifest of the small design."""
    folder = tmp_path / "rtl"
    return folder, write_design(folder)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Resources]:
    """The small design synthesized into `store`, which is to be copied, and its figures."""
    folder = tmp_path_factory.mktemp("filled")
    design = write_design(folder / "rtl")
    found = synthesize(
        folder / "rtl", design, folder / "synth", load_board("pynq-z2"), store=folder / "store"
    )
    return folder, found
