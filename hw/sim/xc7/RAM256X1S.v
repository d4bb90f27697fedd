// Distributed memory of 256 words of one bit, one port: written at the clock, read without one.
module RAM256X1S #(parameter [255:0] INIT = 256'd0) (
  output wire O,
  input wire [7:0] A,
  input wire D, WCLK, WE
);
  reg [255:0] bits;
  initial bits = INIT;
  always @(posedge WCLK) if (WE) bits[A] <= D;
  assign O = bits[A];
endmodule
