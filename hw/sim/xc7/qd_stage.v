// A register of a DSP block, or a wire where ON is 0.
module qd_stage #(parameter W = 1, parameter ON = 1) (
  input wire clk, ce, rst,
  input wire [W-1:0] d,
  output wire [W-1:0] q
);
  generate
    if (ON != 0) begin : g_on
      reg [W-1:0] kept;
      initial kept = {W{1'b0}};
      always @(posedge clk)
        if (rst) kept <= {W{1'b0}};
        else if (ce) kept <= d;
      assign q = kept;
    end else begin : g_off
      wire unused = &{1'b0, clk, ce, rst};
      assign q = d;
    end
  endgenerate
endmodule
