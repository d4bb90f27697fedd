// Four bits of a carry chain: S propagates the carry, else DI is the next one; O is S xor carry.
//
// As one addition: S adds 1 to the carry (1 + 0), S = 0 makes it DI (DI + DI).
module CARRY4 (
  output wire [3:0] CO, O,
  input wire CI, CYINIT,
  input wire [3:0] DI, S
);
  wire [4:0] sum = {1'b0, S | DI} + {1'b0, DI & ~S} + {4'd0, CI | CYINIT};
  assign O = sum[3:0];
  assign CO = {sum[4], sum[3:1] ^ S[3:1]};
endmodule
