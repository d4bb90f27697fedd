// Number of ones among six bits, one cycle later. Each output bit is one six-input table.
`default_nettype none
module qd_count_six (
  input  wire       clk,
  input  wire [5:0] x,
  output reg  [2:0] count
);
  // Inlined, Verilator 5.006 (const-bit-op-tree) takes an inverted bit of `x` for the bit itself.
  /* verilator no_inline_module */
  wire [1:0] one, two;
  genvar g;
  generate
    for (g = 0; g < 2; g = g + 1) begin : g_three
      assign one[g] = ^x[3*g +: 3];
      assign two[g] = (x[3*g] & x[3*g+1]) | (x[3*g+2] & (x[3*g] | x[3*g+1]));
    end
  endgenerate
  wire carry = one[0] & one[1];
  always @(posedge clk)
    count <= {(two[0] & two[1]) | (carry & (two[0] | two[1])), ^two ^ carry, ^one};
endmodule
`default_nettype wire
