// Signed number times unsigned number.
//
//   x        XB bits, two's complement
//   y        YB bits, unsigned
//   product  XB + YB bits, two's complement; a new one every cycle, 1 cycle later when USE_DSP is
//            "yes", else YB cycles later
//
// With USE_DSP "yes" it is one multiplication, which tools put into DSP blocks where it is wide
// enough. With "no" each bit of y, lowest first, has a stage of its own, which adds x or nothing to
// the upper half of what came before and shifts it down by one.
`default_nettype none
module qd_product #(
  parameter XB      = 16,
  parameter YB      = 8,
  parameter USE_DSP = "yes"
) (
  input  wire             clk,
  input  wire [XB-1:0]    x,
  input  wire [YB-1:0]    y,
  output wire [XB+YB-1:0] product
);
  localparam B = XB + YB;
  generate
    if (USE_DSP[7:0] == "s") begin : g_dsp
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
