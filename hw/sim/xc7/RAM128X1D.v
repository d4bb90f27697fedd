// Distributed memory of 128 words of one bit: written at A, read at A (SPO) and DPRA (DPO)
// without a clock.
module RAM128X1D #(parameter [127:0] INIT = 128'd0) (
  output wire DPO, SPO,
  input wire [6:0] A, DPRA,
  input wire D, WCLK, WE
);
  reg [127:0] bits;
  initial bits = INIT;
  wire [6:0] at = A;
  always @(posedge WCLK) if (WE) bits[at] <= D;
  assign SPO = bits[at];
  assign DPO = bits[DPRA];
endmodule
