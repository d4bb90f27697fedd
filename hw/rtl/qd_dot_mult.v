// Dot product of SIMD weights and activations, by multipliers.
//
//   w    SIMD two's complement weights of WB bits, lane s at bits [s*WB +: WB]
//   a    SIMD activations of AB bits, two's complement when ASIGNED, lane s at bits [s*AB +: AB]
//   dot  WB + AB + $clog2(SIMD) bits, two's complement; a new one every cycle,
//        1 + $clog2(SIMD) cycles later
//
// With USE_DSP 1 a product is one multiplication, which tools put into a DSP block where it is wide
// enough; with 0 it is written as shifted additions, which they leave in tables. The
// simulator sums at once and delays the result, unless QD_STRUCTURAL is defined.
`default_nettype none
module qd_dot_mult #(
  parameter SIMD    = 8,
  parameter WB      = 8,
  parameter AB      = 8,
  parameter ASIGNED = 0,
  parameter USE_DSP = 1
) (
  input  wire                          clk,
  input  wire [SIMD*WB-1:0]            w,
  input  wire [SIMD*AB-1:0]            a,
  output wire [WB+AB+$clog2(SIMD)-1:0] dot
);
  /* verilator no_inline_module */
`ifdef VERILATOR
`ifndef QD_STRUCTURAL
`define QD_SUM_AT_ONCE
`endif
`endif
`ifdef QD_SUM_AT_ONCE
  localparam unused_style = USE_DSP;
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
  localparam PB  = WB + AB;
  wire [SIMD*PB-1:0] products;
  genvar s;
  generate
    for (s = 0; s < SIMD; s = s + 1) begin : g_lane
      wire signed [PB-1:0] x = {{AB{w[s*WB + WB - 1]}}, w[s*WB +: WB]};
      wire signed [PB-1:0] y = {{WB{(ASIGNED != 0) & a[s*AB + AB - 1]}}, a[s*AB +: AB]};
      reg signed [PB-1:0] product;
      assign products[s*PB +: PB] = product;
      if (USE_DSP != 0) begin : g_dsp
        always @(posedge clk) product <= x*y;
      end else begin : g_tables
        reg [PB-1:0] shifted;
        integer i;
        always @* begin
          shifted = {PB{1'b0}};
          for (i = 0; i < WB; i = i + 1)
            if (i == WB - 1) shifted = shifted - ({PB{x[i]}} & (y << i));
            else shifted = shifted + ({PB{x[i]}} & (y << i));
        end
        always @(posedge clk) product <= shifted;
      end
    end
  endgenerate
  qd_adder_tree #(.N(SIMD), .IB(PB), .SIGNED(1)) tree (.clk(clk), .x(products), .sum(dot));
`endif
endmodule
`default_nettype wire
