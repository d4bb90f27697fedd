// Number of ones among nine bits, one cycle later. Written as full adders so that each output bit
// of each of the two levels is one six-input table.
`default_nettype none
module qd_count_nine (
  input  wire       clk,
  input  wire [8:0] x,
  output reg  [3:0] count
);
  wire [2:0] one, two;
  genvar g;
  generate
    for (g = 0; g < 3; g = g + 1) begin : g_three
      assign one[g] = ^x[3*g +: 3];
      assign two[g] = (x[3*g] & x[3*g+1]) | (x[3*g+2] & (x[3*g] | x[3*g+1]));
    end
  endgenerate
  wire one_carry = (one[0] & one[1]) | (one[2] & (one[0] | one[1]));
  wire two_sum   = ^two;
  wire two_carry = (two[0] & two[1]) | (two[2] & (two[0] | two[1]));
  wire both      = two_sum & one_carry;
  always @(posedge clk) count <= {two_carry & both, two_carry ^ both, two_sum ^ one_carry, ^one};
endmodule
`default_nettype wire
