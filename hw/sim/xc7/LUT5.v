// A look-up table of 5 inputs: O is the bit of INIT that the inputs, I0 lowest, point at.
module LUT5 #(parameter [31:0] INIT = 32'd0) (
  output wire O,
  input wire I0, I1, I2, I3, I4
);
  assign O = INIT[{I4, I3, I2, I1, I0}];
endmodule
