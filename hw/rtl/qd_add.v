// Two streams added element by element.
//
//   s0, s1  PE lanes of B0 and B1 bits, two's complement where S0, S1 are set
//   out     PE lanes of OB bits: the low bits of lane0 + lane1, two's complement
//   rate    one beat per cycle, one cycle from the later of the two beats to their sum; two words
//           of buffer after the adder, so that m_tready reaches neither input within a cycle
//   ready   each input's ready waits for the other's valid: beats leave together
`default_nettype none
module qd_add #(
  parameter PE = 1,
  parameter B0 = 8,
  parameter S0 = 0,
  parameter B1 = 8,
  parameter S1 = 0,
  parameter OB = 10
) (
  input  wire             clk,
  input  wire             rst_n,
  input  wire [PE*B0-1:0] s0_tdata,
  input  wire             s0_tvalid,
  output wire             s0_tready,
  input  wire [PE*B1-1:0] s1_tdata,
  input  wire             s1_tvalid,
  output wire             s1_tready,
  output wire [PE*OB-1:0] m_tdata,
  output wire             m_tvalid,
  input  wire             m_tready
);
  localparam WIDER = (B0 > B1) ? B0 : B1;
  localparam B     = ((WIDER > OB) ? WIDER : OB) + 1;

  wire             room;
  wire [PE*OB-1:0] sums;
  assign s0_tready = s1_tvalid & room;
  assign s1_tready = s0_tvalid & room;

  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : g_lane
      wire [B0-1:0] x    = s0_tdata[p*B0 +: B0];
      wire [B1-1:0] y    = s1_tdata[p*B1 +: B1];
      wire [B-1:0]  sum  = {{(B-B0){(S0 != 0) & x[B0-1]}}, x}
                         + {{(B-B1){(S1 != 0) & y[B1-1]}}, y};
      wire          unused_high = &{1'b0, sum[B-1:OB]};
      assign sums[p*OB +: OB] = sum[OB-1:0];
    end
  endgenerate

  qd_skid #(.WIDTH(PE*OB)) out (.clk(clk), .rst_n(rst_n),
    .s_tdata(sums), .s_tvalid(s0_tvalid & s1_tvalid), .s_tready(room),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
