// A flip-flop with clock enable and a synchronous set that goes before the enable.
module FDSE #(parameter [0:0] INIT = 1'b1) (
  output reg Q,
  input wire C, CE, D, S
);
  initial Q = INIT;
  always @(posedge C)
    if (S) Q <= 1'b1;
    else if (CE) Q <= D;
endmodule
