// Distributed memory of 128 words of one bit, one port: written at the clock, read without one.
module RAM128X1S #(parameter [127:0] INIT = 128'd0) (
  output wire O,
  input wire A0, A1, A2, A3, A4, A5, A6,
  input wire D, WCLK, WE
);
  reg [127:0] bits;
  initial bits = INIT;
  always @(posedge WCLK) if (WE) bits[{A6, A5, A4, A3, A2, A1, A0}] <= D;
  assign O = bits[{A6, A5, A4, A3, A2, A1, A0}];
endmodule
