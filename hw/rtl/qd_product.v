// Signed number times unsigned number.
//
//   x        XB bits, two's complement
//   y        YB bits, unsigned
//   product  XB + YB bits, two's complement; a new one every cycle, 1 cycle later when USE_DSP is
//            "yes", else YB cycles later
//
// With USE_DSP "yes" it is one multiplication, which tools put into DSP blocks where it is wide
// enough; with "no" one row of adders for each bit of y with a register behind it.
`default_nettype none
module qd_product #(
  parameter XB      = 16,
  parameter YB      = 8,
  parameter USE_DSP = "yes"
) (
  input  wire             clk,
  input  wire [XB-1:0]    x,
  input  wire [YB-1:0]    y,
  output reg  [XB+YB-1:0] product
);
  localparam B = XB + YB;
  generate
    if (USE_DSP[7:0] == "s") begin : g_dsp
      wire signed [B-1:0] wide_x = {{YB{x[XB-1]}}, x};
      wire signed [B-1:0] wide_y = {{XB{1'b0}}, y};
      always @(posedge clk) product <= wide_x*wide_y;
    end else begin : g_rows
      wire [YB*XB-1:0] planes;
      wire [B-1:0]     sum;
      genvar i;
      for (i = 0; i < YB; i = i + 1) begin : g_plane
        assign planes[i*XB +: XB] = {XB{y[i]}} & x;
      end
      qd_plane_sum #(.N(YB), .IB(XB), .SIGNED(1), .NEG(0)) rows (.clk(clk), .x(planes), .sum(sum));
      always @(posedge clk) product <= sum;
    end
  endgenerate
endmodule
`default_nettype wire
