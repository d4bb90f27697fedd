// Distributed memory of 64 words of one bit: written at A, read at A (SPO) and DPRA (DPO)
// without a clock.
module RAM64X1D #(parameter [63:0] INIT = 64'd0) (
  output wire DPO, SPO,
  input wire A0, A1, A2, A3, A4, A5,
  input wire DPRA0, DPRA1, DPRA2, DPRA3, DPRA4, DPRA5,
  input wire D, WCLK, WE
);
  reg [63:0] bits;
  initial bits = INIT;
  wire [5:0] at = {A5, A4, A3, A2, A1, A0};
  always @(posedge WCLK) if (WE) bits[at] <= D;
  assign SPO = bits[at];
  assign DPO = bits[{DPRA5, DPRA4, DPRA3, DPRA2, DPRA1, DPRA0}];
endmodule
