// A shift register of 16 bits with an enable; Q is the bit that entered A + 1 enabled clocks ago.
module SRL16E #(
  parameter [15:0] INIT = 16'd0,
  parameter [0:0] IS_CLK_INVERTED = 1'b0
) (
  output wire Q,
  input wire A0, A1, A2, A3, CE, CLK, D
);
  reg [15:0] bits;
  initial bits = INIT;
  wire clock = CLK ^ IS_CLK_INVERTED;
  always @(posedge clock) if (CE) bits <= {bits[14:0], D};
  assign Q = bits[{A3, A2, A1, A0}];
endmodule
