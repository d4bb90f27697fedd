// A look-up table of 2 inputs: O is the bit of INIT that the inputs, I0 lowest, point at.
module LUT2 #(parameter [3:0] INIT = 4'd0) (
  output wire O,
  input wire I0, I1
);
  assign O = INIT[{I1, I0}];
endmodule
