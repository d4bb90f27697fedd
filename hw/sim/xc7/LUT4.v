// A look-up table of 4 inputs: O is the bit of INIT that the inputs, I0 lowest, point at.
module LUT4 #(parameter [15:0] INIT = 16'd0) (
  output wire O,
  input wire I0, I1, I2, I3
);
  assign O = INIT[{I3, I2, I1, I0}];
endmodule
