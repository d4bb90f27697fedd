// Distributed memory of 32 words: four LUTs of 2 bits written together at ADDRD, each read at its own
// address without a clock.
module RAM32M #(
  parameter [63:0] INIT_A = 64'd0,
  parameter [63:0] INIT_B = 64'd0,
  parameter [63:0] INIT_C = 64'd0,
  parameter [63:0] INIT_D = 64'd0
) (
  output wire [1:0] DOA, DOB, DOC, DOD,
  input wire [1:0] DIA, DIB, DIC, DID,
  input wire [4:0] ADDRA, ADDRB, ADDRC, ADDRD,
  input wire WCLK, WE
);
  reg [63:0] a, b, c, d;
  initial begin
    a = INIT_A;
    b = INIT_B;
    c = INIT_C;
    d = INIT_D;
  end
  always @(posedge WCLK)
    if (WE) begin
      a[{ADDRD, 1'b0} +: 2] <= DIA;
      b[{ADDRD, 1'b0} +: 2] <= DIB;
      c[{ADDRD, 1'b0} +: 2] <= DIC;
      d[{ADDRD, 1'b0} +: 2] <= DID;
    end
  assign DOA = a[{ADDRA, 1'b0} +: 2];
  assign DOB = b[{ADDRB, 1'b0} +: 2];
  assign DOC = c[{ADDRC, 1'b0} +: 2];
  assign DOD = d[{ADDRD, 1'b0} +: 2];
endmodule
