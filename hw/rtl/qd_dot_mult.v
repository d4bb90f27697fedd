// Dot product of SIMD weights and activations, by multipliers.
//
//   w    SIMD two's complement weights of WB bits, lane s at bits [s*WB +: WB]
//   a    SIMD activations of AB bits, two's complement when ASIGNED, lane s at bits [s*AB +: AB]
//   dot  WB + AB + $clog2(SIMD) bits, two's complement; a new one every cycle,
//        1 + $clog2(SIMD) cycles later
//
// USE_DSP is a hint to synthesis (`yes`, `no`). The simulator sums at once and delays the result,
// unless QD_STRUCTURAL is defined.
`default_nettype none
module qd_dot_mult #(
  parameter SIMD    = 8,
  parameter WB      = 8,
  parameter AB      = 8,
  parameter ASIGNED = 0,
  parameter USE_DSP = "yes"
) (
  input  wire                          clk,
  input  wire [SIMD*WB-1:0]            w,
  input  wire [SIMD*AB-1:0]            a,
  output wire [WB+AB+$clog2(SIMD)-1:0] dot
);
  /* verilator no_inline_module */
  localparam unused_hint = USE_DSP;  // attributes are not seen as a use
`ifdef VERILATOR
`ifndef QD_STRUCTURAL
`define QD_SUM_AT_ONCE
`endif
`endif
`ifdef QD_SUM_AT_ONCE
  localparam DB = WB + AB + $clog2(SIMD);
  localparam LATENCY = 1 + $clog2(SIMD);
  reg [LATENCY*DB-1:0] delay;
  reg signed [31:0] total, x, y;
  integer s;
  always @* begin
    total = 0;
    for (s = 0; s < SIMD; s = s + 1) begin
      x = {{(32-WB){w[s*WB + WB - 1]}}, w[s*WB +: WB]};
      y = {{(32-AB){(ASIGNED != 0) & a[s*AB + AB - 1]}}, a[s*AB +: AB]};
      total = total + x*y;
    end
  end
  wire [31-DB:0] unused_high;
  wire [DB-1:0]  now;
  assign {unused_high, now} = total;
  generate
    if (LATENCY == 1) begin : g_one
      always @(posedge clk) delay <= now;
    end else begin : g_more
      always @(posedge clk) delay <= {delay[(LATENCY-1)*DB-1:0], now};
    end
  endgenerate
  assign dot = delay[LATENCY*DB-1 -: DB];
`else
  localparam PB = WB + AB;
  wire [SIMD*PB-1:0] products;
  genvar s;
  generate
    for (s = 0; s < SIMD; s = s + 1) begin : g_lane
      wire signed [PB-1:0] x = {{AB{w[s*WB + WB - 1]}}, w[s*WB +: WB]};
      wire signed [PB-1:0] y = {{WB{(ASIGNED != 0) & a[s*AB + AB - 1]}}, a[s*AB +: AB]};
      (* use_dsp = USE_DSP *) reg signed [PB-1:0] product;
      always @(posedge clk) product <= x*y;
      assign products[s*PB +: PB] = product;
    end
  endgenerate
  qd_adder_tree #(.N(SIMD), .IB(PB), .SIGNED(1)) tree (.clk(clk), .x(products), .sum(dot));
`endif
endmodule
`default_nettype wire
