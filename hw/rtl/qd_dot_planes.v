// Dot product of SIMD low-bit weights and activations, by bit planes:
//
//   sum over s of w[s]*a[s] = sum over i, j of 2^(i+j) * |{s : bit i of w[s] and bit j of a[s]}|,
//   the top plane of a two's complement operand counting negative
//
//   w    SIMD two's complement weights of WB bits, lane s at bits [s*WB +: WB]
//   a    bit j of lane s, WB times over, at bits [(j*SIMD + s)*WB +: WB] (made once for all rows)
//   dot  WB + AB + $clog2(SIMD) bits, two's complement; a new one every cycle,
//        1 + $clog2(ceil(SIMD/9)) + (AB - 1) + (WB - 1) cycles later
//
// A plane's set bits are counted nine at a time in two levels of six-input tables. The simulator
// counts them all at once and delays the result, unless QD_STRUCTURAL is defined.
`default_nettype none
module qd_dot_planes #(
  parameter SIMD    = 8,
  parameter WB      = 2,
  parameter AB      = 2,
  parameter ASIGNED = 0
) (
  input  wire                          clk,
  input  wire [SIMD*WB-1:0]            w,
  input  wire [AB*SIMD*WB-1:0]         a,
  output wire [WB+AB+$clog2(SIMD)-1:0] dot
);
  /* verilator no_inline_module */
  localparam DB     = WB + AB + $clog2(SIMD);
  localparam GROUPS = (SIMD + 8)/9;
`ifdef VERILATOR
`ifndef QD_STRUCTURAL
`define QD_COUNT_AT_ONCE
`endif
`endif
`ifdef QD_COUNT_AT_ONCE
  localparam LATENCY = WB + AB - 1 + $clog2(GROUPS);
  localparam [WB-1:0] LOWEST = 1;
  reg [LATENCY*DB-1:0] delay;
  reg signed [31:0] total, term;
  integer i, j;
  always @* begin
    total = 0;
    for (j = 0; j < AB; j = j + 1)
      for (i = 0; i < WB; i = i + 1) begin
        term = $countones(w & a[j*SIMD*WB +: SIMD*WB] & ({SIMD{LOWEST}} << i)) << (i + j);
        total = ((i == WB - 1) != (ASIGNED != 0 && j == AB - 1)) ? total - term : total + term;
      end
  end
  wire [31-DB:0] unused_high;
  wire [DB-1:0]  now;
  assign {unused_high, now} = total;
  always @(posedge clk) delay <= {delay[(LATENCY-1)*DB-1:0], now};
  assign dot = delay[LATENCY*DB-1 -: DB];
`else
  localparam CB = 4 + $clog2(GROUPS);
  wire [WB*(CB+AB)-1:0] rows;
  wire [CB+AB+WB-1:0]   whole;
  genvar i, j, g, s;
  generate
    for (i = 0; i < WB; i = i + 1) begin : g_row
      wire [AB*CB-1:0] counts;
      for (j = 0; j < AB; j = j + 1) begin : g_plane
        wire [GROUPS*9-1:0] both;
        wire [GROUPS*4-1:0] nines;
        for (s = 0; s < GROUPS*9; s = s + 1) begin : g_lane
          if (s < SIMD) begin : g_used
            assign both[s] = w[s*WB + i] & a[(j*SIMD + s)*WB + i];
          end else begin : g_spare
            assign both[s] = 1'b0;
          end
        end
        for (g = 0; g < GROUPS; g = g + 1) begin : g_nine
          qd_count_nine nine (.clk(clk), .x(both[g*9 +: 9]), .count(nines[g*4 +: 4]));
        end
        qd_adder_tree #(.N(GROUPS), .IB(4)) tree (.clk(clk), .x(nines),
          .sum(counts[j*CB +: CB]));
      end
      qd_plane_sum #(.N(AB), .IB(CB), .NEG(ASIGNED)) row (.clk(clk), .x(counts),
        .sum(rows[i*(CB+AB) +: CB+AB]));
    end
  endgenerate
  qd_plane_sum #(.N(WB), .IB(CB+AB), .SIGNED(ASIGNED)) all (.clk(clk), .x(rows), .sum(whole));
  // CB counts whole groups of nine: its range is that of SIMD lanes or larger.
  wire unused_high = &{1'b0, whole[CB+AB+WB-1:DB]};
  assign dot = whole[DB-1:0];
`endif
endmodule
`default_nettype wire
