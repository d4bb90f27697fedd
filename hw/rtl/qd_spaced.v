// Counts along an axis of N pixels with S - 1 zeros between neighbours: (N - 1)*S + 1 places.
//
//   step  one place further at this clock edge
//   pixel the present place is a pixel's; a register
//   last  the present place is the last one, which is a pixel's
`default_nettype none
module qd_spaced #(
  parameter N = 8,
  parameter S = 2
) (
  input  wire clk,
  input  wire rst_n,
  input  wire step,
  output wire pixel,
  output wire last
);
  wire last_pixel;
  assign last = pixel & last_pixel;
  qd_cycle #(.N(N)) pixels (.clk(clk), .rst_n(rst_n), .step(step & pixel), .last(last_pixel));

  generate
    if (S == 1) begin : g_dense
      assign pixel = 1'b1;
    end else begin : g_zeros
      // The place after the last one is the first again.
      wire on = step & ~last;
      wire before_pixel;
      reg  now;
      assign pixel = now;
      qd_cycle #(.N(S)) gap (.clk(clk), .rst_n(rst_n), .step(on), .last(before_pixel));
      always @(posedge clk)
        if (!rst_n) now <= 1'b1;
        else if (on) now <= before_pixel;
    end
  endgenerate
endmodule
`default_nettype wire
