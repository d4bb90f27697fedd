// A look-up table of 3 inputs: O is the bit of INIT that the inputs, I0 lowest, point at.
module LUT3 #(parameter [7:0] INIT = 8'd0) (
  output wire O,
  input wire I0, I1, I2
);
  assign O = INIT[{I2, I1, I0}];
endmodule
