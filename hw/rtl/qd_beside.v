// Two streams side by side: the lanes of both in one beat.
//
//   s0, s1  L0 and L1 lanes of B0 and B1 bits, two's complement where S0, S1 are set
//   out     L0 + L1 lanes of OB bits, those of s0 lowest; two's complement where either input is
//   rate    one beat per cycle, one cycle from the later of the two beats to the output
//   ready   each input's ready waits for the other's valid: beats leave together
`default_nettype none
module qd_beside #(
  parameter L0 = 2,
  parameter L1 = 1,
  parameter B0 = 4,
  parameter S0 = 0,
  parameter B1 = 4,
  parameter S1 = 0,
  parameter OB = 4
) (
  input  wire                  clk,
  input  wire                  rst_n,
  input  wire [L0*B0-1:0]      s0_tdata,
  input  wire                  s0_tvalid,
  output wire                  s0_tready,
  input  wire [L1*B1-1:0]      s1_tdata,
  input  wire                  s1_tvalid,
  output wire                  s1_tready,
  output wire [(L0+L1)*OB-1:0] m_tdata,
  output wire                  m_tvalid,
  input  wire                  m_tready
);
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (OB < B0 || OB < B1) begin : g_refused0
      OB_is_narrower_than_an_operand refused ();
    end
  endgenerate

  wire                  room;
  wire [(L0+L1)*OB-1:0] codes;
  assign s0_tready = s1_tvalid & room;
  assign s1_tready = s0_tvalid & room;

  genvar p;
  generate
    for (p = 0; p < L0; p = p + 1) begin : g_first
      wire [B0-1:0] x    = s0_tdata[p*B0 +: B0];
      wire [OB:0]   wide = {{(OB+1-B0){(S0 != 0) & x[B0-1]}}, x};
      wire          unused_high = &{1'b0, wide[OB]};
      assign codes[p*OB +: OB] = wide[OB-1:0];
    end
    for (p = 0; p < L1; p = p + 1) begin : g_second
      wire [B1-1:0] y    = s1_tdata[p*B1 +: B1];
      wire [OB:0]   wide = {{(OB+1-B1){(S1 != 0) & y[B1-1]}}, y};
      wire          unused_high = &{1'b0, wide[OB]};
      assign codes[(L0+p)*OB +: OB] = wide[OB-1:0];
    end
  endgenerate

  qd_skid #(.WIDTH((L0+L1)*OB)) out (.clk(clk), .rst_n(rst_n),
    .s_tdata(codes), .s_tvalid(s0_tvalid & s1_tvalid), .s_tready(room),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
