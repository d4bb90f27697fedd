"""One design in which synthesis for a 7-series part uses every cell there is a model of.

Each unit takes the 40 bits of an input beat and puts out some bits of the output beat; its
registers and memories move when a beat is accepted. The units' names say which cells they are for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

INPUT_BITS = 40
_LUTRAM = '(* ram_style = "distributed" *) reg [W-1:0] m [0:(1<<A)-1]; initial $readmemh(F, m);'
_BLOCK = '(* ram_style = "block" *) reg [W-1:0] m [0:(1<<A)-1]; initial $readmemh(F, m);'
_HEAD = "input wire clk, input wire en, input wire [39:0] x"
_SIZED = 'parameter A = 5, parameter W = 6, parameter F = ""'
_UNITS = f"""
module tables ({_HEAD}, output wire [7:0] y);
  localparam [511:0] T = {{16{{32'h9e3779b9}}}} ^ {{4{{128'h0123456789abcdeffedcba9876543210}}}}
    ^ {{2{{256'h5bd1e9955bd1e9951b873593cc9e2d51e6546b6485ebca6bc2b2ae3527d4eb2f}}}};
  assign y = {{T[{{x[4:0], 4'd0}} +: 7], T[x[8:0]]}};
endmodule
module sums ({_HEAD}, output reg [15:0] y, output reg [15:0] z);
  always @(posedge clk) if (en) y <= x[39] ? x[15:0] + x[31:16] : x[15:0] - x[31:16];
  initial z = 16'hfff0;
  always @(posedge clk) if (en) z <= x[7:0] == 0 ? 16'hfff0 : z + 1'b1;
endmodule
module registers ({_HEAD}, output reg [7:0] y);
  always @(posedge clk) if (en) begin if (x[8]) y <= 8'ha5; else if (x[9]) y <= x[7:0]; end
endmodule
module delays ({_HEAD}, output wire [3:0] y);
  reg [9:0] a; reg [24:0] b; reg [49:0] c; reg [7:0] d;
  initial begin a = 10'h155; b = 25'h0f0f0f0; c = 50'h1234567890ab; d = 8'h5a; end
  always @(posedge clk) if (en) begin
    a <= {{a[8:0], x[0]}}; b <= {{b[23:0], x[1]}}; c <= {{c[48:0], x[2]}}; d <= {{d[6:0], ~x[3]}};
  end
  assign y = {{d[7], c[49], b[24], a[9]}};
endmodule
module lutram_read_elsewhere #({_SIZED}) ({_HEAD}, output wire [W-1:0] y);
  {_LUTRAM}
  always @(posedge clk) if (en & x[38]) m[x[A-1:0]] <= x[37:30];
  assign y = m[x[19+A-1:19]];
endmodule
module lutram_read_twice #({_SIZED}) ({_HEAD}, output wire [2*W-1:0] y);
  {_LUTRAM}
  always @(posedge clk) if (en & x[38]) m[x[A-1:0]] <= x[37:30];
  assign y = {{m[x[19+A-1:19]], m[x[A-1:0]]}};
endmodule
module lutram_read_there #({_SIZED}) ({_HEAD}, output wire [W-1:0] y);
  {_LUTRAM}
  always @(posedge clk) if (en & x[38]) m[x[A-1:0]] <= x[37:30];
  assign y = m[x[A-1:0]];
endmodule
module block_rom #({_SIZED}) ({_HEAD}, output reg [W-1:0] y);
  {_BLOCK}
  always @(posedge clk) if (en) y <= m[x[A-1:0]];
endmodule
module block_ram #({_SIZED}, parameter RESET = 0) ({_HEAD}, output reg [W-1:0] y);
  {_BLOCK}
  initial y = {{W{{1'b1}}}};
  always @(posedge clk) begin
    if (en & x[38]) m[{{x[3:0], x[4 +: A-4]}}] <= {{2{{x}}}};
    if (en & x[37])
      y <= (RESET && x[36]) ? {{3{{32'h89abcdef}}}} : m[{{x[23:20], x[24 +: A-4]}}];
  end
endmodule
module block_ram_of_bytes #({_SIZED}) ({_HEAD}, output reg [W-1:0] y);
  {_BLOCK}
  integer i;
  always @(posedge clk) begin
    for (i = 0; i < W/8; i = i + 1) if (en & x[32+i]) m[x[2:0]][8*i +: 8] <= x[i +: 8];
    if (en) y <= m[x[22:20]];
  end
endmodule
module block_ram_one_port #({_SIZED}, parameter MODE = 0) ({_HEAD}, output reg [W-1:0] y);
  {_BLOCK}
  always @(posedge clk) if (en) begin
    if (x[38]) m[x[2:0]] <= x[37:20];
    if (MODE == 0) y <= m[x[2:0]];
    else if (MODE == 1) y <= x[38] ? x[37:20] : m[x[2:0]];
    else if (!x[38]) y <= m[x[2:0]];
  end
endmodule
module multipliers ({_HEAD}, output reg signed [23:0] y, output reg [39:0] z,
                    output reg signed [39:0] u, output reg signed [31:0] v);
  reg signed [17:0] kept;
  always @(posedge clk) if (en) begin
    y <= (x[39] ? 24'sd0 : y) + $signed(x[8:0]) * $signed(x[20:9]);
    z <= x[23:0] * x[39:24];
    kept <= x[17:0];
    u <= $signed(x[39:18]) * kept;
    v <= $signed(x[10:0]) * $signed(x[21:11]) - $signed(x[39:22]);
  end
endmodule
module dot_product ({_HEAD}, output reg [19:0] y);
  reg signed [15:0] p, q, s;
  always @(posedge clk) if (en) begin
    p <= $signed(x[7:0]) * $signed(x[15:8]);
    q <= $signed({{1'b0, x[6:0]}}) * $signed(x[23:16]);
    s <= $signed(x[31:24]) * $signed(x[39:32]);
    y <= p + q + s;
  end
endmodule
"""
# Unit, depth in address bits and width where it is a memory, further parameters, outputs' bits.
_INSTANCES: list[tuple[str, tuple[int, int] | None, str, dict[str, int]]] = [
    ("tables", None, "", {"y": 8}),
    ("sums", None, "", {"y": 16, "z": 16}),
    ("registers", None, "", {"y": 8}),
    ("delays", None, "", {"y": 4}),
    ("lutram_read_elsewhere", (5, 6), "", {"y": 6}),
    ("lutram_read_elsewhere", (6, 3), "", {"y": 3}),
    ("lutram_read_twice", (6, 2), "", {"y": 4}),
    ("lutram_read_twice", (7, 1), "", {"y": 2}),
    ("lutram_read_there", (5, 8), "", {"y": 8}),
    ("lutram_read_there", (6, 4), "", {"y": 4}),
    ("lutram_read_there", (7, 2), "", {"y": 2}),
    ("lutram_read_there", (8, 1), "", {"y": 1}),
    ("block_rom", (9, 36), "", {"y": 36}),
    ("block_rom", (9, 72), "", {"y": 72}),
    ("block_rom", (11, 9), "", {"y": 9}),
    ("block_rom", (12, 4), "", {"y": 4}),
    ("block_ram", (10, 18), "", {"y": 18}),
    ("block_ram", (10, 36), ", .RESET(1)", {"y": 36}),
    ("block_ram", (9, 72), "", {"y": 72}),
    ("block_ram", (13, 2), "", {"y": 2}),
    ("block_ram_of_bytes", (9, 32), "", {"y": 32}),
    ("block_ram_one_port", (9, 9), "", {"y": 9}),
    ("block_ram_one_port", (9, 9), ", .MODE(1)", {"y": 9}),
    ("block_ram_one_port", (9, 9), ", .MODE(2)", {"y": 9}),
    ("multipliers", None, "", {"y": 24, "z": 40, "u": 40, "v": 32}),
    ("dot_product", None, "", {"y": 20}),
]


def write_zoo(folder: Path) -> tuple[Path, int, dict[str, slice]]:
    """Write the design (module `zoo`) and its memory files.

    Returns its file, the bits of an output beat, and where in the bytes of one each unit's are.
    """
    rng = np.random.default_rng(7)
    lines, tops, at = [], {}, 0
    for index, (unit, memory, more, outputs) in enumerate(_INSTANCES):
        parameters = ""
        if memory is not None:
            depth, width = memory
            name = f"m{index}.hex"
            words = rng.integers(0, 2**32, (2**depth, 3), dtype=np.int64)
            values = [int(a) << 64 | int(b) << 32 | int(c) for a, b, c in words]
            text = "\n".join(f"{value & ((1 << width) - 1):x}" for value in values)
            (folder / name).write_text(text + "\n", encoding="utf-8")
            parameters = f'#(.A({depth}), .W({width}), .F("{name}"){more}) '
        start, wires = at, []
        for output, bits in outputs.items():
            wires.append(f".{output}(m_axis_tdata[{at} +: {bits}])")
            if bits % 8:
                lines.append(f"  assign m_axis_tdata[{at + bits} +: {8 - bits % 8}] = 0;")
            at += (bits + 7) // 8 * 8
        lines.append(
            f"  {unit} {parameters}u{index} (.clk(clk), .en(en), .x(s_axis_tdata), "
            + ", ".join(wires)
            + ");"
        )
        tops[f"{unit}{'' if memory is None else memory}{more}"] = slice(start // 8, at // 8)
    top = f"""
module zoo (
  input wire clk, input wire rst_n,
  input wire [{INPUT_BITS - 1}:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
  output wire [{at - 1}:0] m_axis_tdata, output wire m_axis_tvalid, input wire m_axis_tready
);
  assign s_axis_tready = m_axis_tready & rst_n;
  assign m_axis_tvalid = s_axis_tvalid & rst_n;
  wire en = s_axis_tvalid & s_axis_tready;
"""
    path = folder / "zoo.v"
    path.write_text(_UNITS + top + "\n".join(lines) + "\nendmodule\n", encoding="utf-8")
    return path, at, tops
