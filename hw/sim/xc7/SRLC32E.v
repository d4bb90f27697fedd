// A shift register of 32 bits with an enable; Q is the bit that entered A + 1 enabled clocks ago,
// Q31 the last one, for the next register of a chain.
module SRLC32E #(
  parameter [31:0] INIT = 32'd0,
  parameter [0:0] IS_CLK_INVERTED = 1'b0
) (
  output wire Q, Q31,
  input wire [4:0] A,
  input wire CE, CLK, D
);
  reg [31:0] bits;
  initial bits = INIT;
  wire clock = CLK ^ IS_CLK_INVERTED;
  always @(posedge clock) if (CE) bits <= {bits[30:0], D};
  assign Q = bits[A];
  assign Q31 = bits[31];
endmodule
