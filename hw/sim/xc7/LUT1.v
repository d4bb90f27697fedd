// A look-up table of 1 input: O is the bit of INIT that the inputs, I0 lowest, point at.
module LUT1 #(parameter [1:0] INIT = 2'd0) (
  output wire O,
  input wire I0
);
  assign O = INIT[I0];
endmodule
