// Dot product of SIMD weights and activations that are all -1 or +1, as bits 0 or 1:
//
//   sum over s of w[s]*a[s] = 2*|{s : bits of w[s] and a[s] are alike}| - SIMD
//
//   w, a  SIMD bits, lane s at bit s
//   dot   2 + $clog2(SIMD) bits, two's complement; a new one every cycle,
//         2 + $clog2(ceil(SIMD/9)) cycles later
//
// Equal bits are counted nine at a time in two levels of six-input tables. The simulator counts
// them all at once and delays the result, unless QD_STRUCTURAL is defined.
`default_nettype none
module qd_dot_xnor #(
  parameter SIMD = 8
) (
  input  wire                      clk,
  input  wire [SIMD-1:0]           w,
  input  wire [SIMD-1:0]           a,
  output wire [2+$clog2(SIMD)-1:0] dot
);
  /* verilator no_inline_module */
  localparam DB     = 2 + $clog2(SIMD);
  localparam GROUPS = (SIMD + 8)/9;
  localparam [31:0] LANES = SIMD;
`ifdef VERILATOR
`ifndef QD_STRUCTURAL
`define QD_ALIKE_AT_ONCE
`endif
`endif
`ifdef QD_ALIKE_AT_ONCE
  localparam LATENCY = 2 + $clog2(GROUPS);
  reg  [LATENCY*DB-1:0] delay;
  wire [31:0]           total = ($countones(~(w ^ a)) << 1) - LANES;
  wire                  unused_high = &{1'b0, total[31:DB]};
  always @(posedge clk) delay <= {delay[(LATENCY-1)*DB-1:0], total[DB-1:0]};
  assign dot = delay[LATENCY*DB-1 -: DB];
`else
  localparam CB = 4 + $clog2(GROUPS);  // counts whole groups of nine: at least DB - 2 bits
  wire [GROUPS*9-1:0] alike;
  wire [GROUPS*4-1:0] nines;
  wire [CB-1:0]       count;
  genvar g, s;
  generate
    for (s = 0; s < GROUPS*9; s = s + 1) begin : g_lane
      if (s < SIMD) begin : g_used
        assign alike[s] = ~(w[s] ^ a[s]);
      end else begin : g_spare
        assign alike[s] = 1'b0;
      end
    end
    for (g = 0; g < GROUPS; g = g + 1) begin : g_nine
      qd_count_nine nine (.clk(clk), .x(alike[g*9 +: 9]), .count(nines[g*4 +: 4]));
    end
  endgenerate
  qd_adder_tree #(.N(GROUPS), .IB(4)) tree (.clk(clk), .x(nines), .sum(count));

  wire [CB+1:0] twice = {1'b0, count, 1'b0};
  reg  [DB-1:0] sum;
  always @(posedge clk) sum <= twice[DB-1:0] - LANES[DB-1:0];
  assign dot = sum;
  generate
    if (CB + 2 > DB) begin : g_spare_bits
      wire unused_high = &{1'b0, twice[CB+1:DB]};
    end
  endgenerate
`endif
endmodule
`default_nettype wire
