// A flip-flop with clock enable and a synchronous reset that goes before the enable.
module FDRE #(parameter [0:0] INIT = 1'b0) (
  output reg Q,
  input wire C, CE, D, R
);
  initial Q = INIT;
  always @(posedge C)
    if (R) Q <= 1'b0;
    else if (CE) Q <= D;
endmodule
