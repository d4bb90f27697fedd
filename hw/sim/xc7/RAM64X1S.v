// Distributed memory of 64 words of one bit, one port: written at the clock, read without one.
module RAM64X1S #(parameter [63:0] INIT = 64'd0) (
  output wire O,
  input wire A0, A1, A2, A3, A4, A5,
  input wire D, WCLK, WE
);
  reg [63:0] bits;
  initial bits = INIT;
  always @(posedge WCLK) if (WE) bits[{A5, A4, A3, A2, A1, A0}] <= D;
  assign O = bits[{A5, A4, A3, A2, A1, A0}];
endmodule
