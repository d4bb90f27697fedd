// Two streams one after the other, pixel by pixel: a map with the channels of both.
//
//   s0, s1  CF0 and CF1 beats per pixel, PE lanes of B0 and B1 bits, two's complement where S0, S1
//           are set
//   out     CF0 + CF1 beats per pixel, those of s0 first; PE lanes of OB bits, two's complement
//           where either input is
//   rate    one beat per cycle, one cycle from input to output, pixels back to back
//   ready   of each input in its turn only; neither follows the other's valid
//
// While one input has its turn the other waits: what joins branches needs a FIFO before it.
`default_nettype none
module qd_concat #(
  parameter PE  = 1,
  parameter CF0 = 2,
  parameter CF1 = 1,
  parameter B0  = 4,
  parameter S0  = 0,
  parameter B1  = 4,
  parameter S1  = 0,
  parameter OB  = 4
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
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (OB < B0 || OB < B1) begin : g_refused0
      OB_is_narrower_than_an_operand refused ();
    end
  endgenerate

  wire room, last0, last1;
  reg  second;  // whose turn it is
  assign s0_tready = room & ~second;
  assign s1_tready = room & second;
  wire take0 = s0_tvalid & s0_tready;
  wire take1 = s1_tvalid & s1_tready;
  qd_cycle #(.N(CF0)) fold0 (.clk(clk), .rst_n(rst_n), .step(take0), .last(last0));
  qd_cycle #(.N(CF1)) fold1 (.clk(clk), .rst_n(rst_n), .step(take1), .last(last1));
  always @(posedge clk)
    if (!rst_n) second <= 1'b0;
    else second <= second ? ~(take1 & last1) : (take0 & last0);

  wire [PE*OB-1:0] codes;
  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : g_lane
      wire [B0-1:0] x     = s0_tdata[p*B0 +: B0];
      wire [B1-1:0] y     = s1_tdata[p*B1 +: B1];
      wire [OB:0]   wide0 = {{(OB+1-B0){(S0 != 0) & x[B0-1]}}, x};
      wire [OB:0]   wide1 = {{(OB+1-B1){(S1 != 0) & y[B1-1]}}, y};
      wire          unused_high = &{1'b0, wide0[OB], wide1[OB]};
      assign codes[p*OB +: OB] = second ? wide1[OB-1:0] : wide0[OB-1:0];
    end
  endgenerate

  qd_skid #(.WIDTH(PE*OB)) out (.clk(clk), .rst_n(rst_n),
    .s_tdata(codes), .s_tvalid(second ? s1_tvalid : s0_tvalid), .s_tready(room),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
