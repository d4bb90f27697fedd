// Distributed memory of 64 words: four LUTs of 1 bit written together at ADDRD, each read at its own
// address without a clock.
module RAM64M #(
  parameter [63:0] INIT_A = 64'd0,
  parameter [63:0] INIT_B = 64'd0,
  parameter [63:0] INIT_C = 64'd0,
  parameter [63:0] INIT_D = 64'd0
) (
  output wire DOA, DOB, DOC, DOD,
  input wire DIA, DIB, DIC, DID,
  input wire [5:0] ADDRA, ADDRB, ADDRC, ADDRD,
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
      a[ADDRD] <= DIA;
      b[ADDRD] <= DIB;
      c[ADDRD] <= DIC;
      d[ADDRD] <= DID;
    end
  assign DOA = a[ADDRA];
  assign DOB = b[ADDRB];
  assign DOC = c[ADDRC];
  assign DOD = d[ADDRD];
endmodule
