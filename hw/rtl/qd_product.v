// Signed number times unsigned number.
//
//   x        XB bits, two's complement
//   y        YB bits, unsigned
//   product  XB + YB bits, two's complement; a new one every cycle, YB cycles later, or with
//            USE_DSP 1 cycle later, 2 where YB > CHUNK (below)
//
// With USE_DSP 1 it is one multiplication, which tools put into DSP blocks where it is wide enough.
// A DSP block multiplies 25 by 18 signed bits: what of y is too wide beside x is multiplied by a
// second one, where tools left alone may take four. With 0 each bit of y, lowest first, has a stage
// of its own, which adds x or nothing to the upper half of the sum so far and shifts it down by
// one.
`default_nettype none
module qd_product #(
  parameter XB      = 16,
  parameter YB      = 8,
  parameter USE_DSP = 1
) (
  input  wire             clk,
  input  wire [XB-1:0]    x,
  input  wire [YB-1:0]    y,
  output wire [XB+YB-1:0] product
);
  localparam B     = XB + YB;
  localparam CHUNK = (XB <= 18) ? 24 : 17;
  generate
    if (USE_DSP != 0 && YB > CHUNK) begin : g_two
      localparam LB = XB + CHUNK, HB = B - CHUNK;
      wire signed [LB-1:0] low_x  = {{CHUNK{x[XB-1]}}, x};
      wire signed [LB-1:0] low_y  = {{XB{1'b0}}, y[CHUNK-1:0]};
      wire signed [HB-1:0] high_x = {{(HB-XB){x[XB-1]}}, x};
      wire signed [HB-1:0] high_y = {{XB{1'b0}}, y[YB-1:CHUNK]};
      reg signed [LB-1:0]  low;
      reg signed [HB-1:0]  high;
      reg [B-1:0]          result;
      always @(posedge clk) begin
        low    <= low_x*low_y;
        high   <= high_x*high_y;
        result <= {high + {{(HB-XB){low[LB-1]}}, low[LB-1:CHUNK]}, low[CHUNK-1:0]};
      end
      assign product = result;
    end else if (USE_DSP != 0) begin : g_one
      wire signed [B-1:0] wide_x = {{YB{x[XB-1]}}, x};
      wire signed [B-1:0] wide_y = {{XB{1'b0}}, y};
      reg signed [B-1:0]  result;
      always @(posedge clk) result <= wide_x*wide_y;
      assign product = result;
    end else begin : g_stages
      wire [(YB+1)*XB-1:0] xs;
      wire [(YB+1)*YB-1:0] ys;
      wire [(YB+1)*B-1:0]  sums;
      assign xs[XB-1:0]  = x;
      assign ys[YB-1:0]  = y;
      assign sums[B-1:0] = {B{1'b0}};
      assign product     = sums[YB*B +: B];
      wire unused_rest = &{1'b0, xs[YB*XB +: XB], ys[YB*YB +: YB]};
      genvar i;
      for (i = 0; i < YB; i = i + 1) begin : g_stage
        wire [XB-1:0] x_now = xs[i*XB +: XB];
        wire [YB-1:0] y_now = ys[i*YB +: YB];
        wire [B-1:0]  below = sums[i*B +: B];
        wire [XB-1:0] term  = x_now & {XB{y_now[0]}};
        wire [XB:0]   upper = {below[B-1], below[B-1 -: XB]} + {term[XB-1], term};
        wire [B:0]    whole = {upper, below[YB-1:0]};
        wire          unused_zero = whole[0];
        reg  [XB-1:0] x_next;
        reg  [YB-1:0] y_next;
        reg  [B-1:0]  sum;
        always @(posedge clk) begin
          x_next <= x_now;
          y_next <= y_now >> 1;
          sum    <= whole[B:1];
        end
        assign xs[(i+1)*XB +: XB] = x_next;
        assign ys[(i+1)*YB +: YB] = y_next;
        assign sums[(i+1)*B +: B] = sum;
      end
    end
  endgenerate
endmodule
`default_nettype wire
