// Wider lanes: each of PE lanes of IB bits becomes OB bits wide, sign kept.
//
//   in   PE lanes of IB bits (two's complement when SIGNED)
//   out  the same numbers in two's complement of OB bits, in the same cycle; OB > IB
`default_nettype none
module qd_extend #(
  parameter PE     = 1,
  parameter IB     = 2,
  parameter SIGNED = 0,
  parameter OB     = 3
) (
  // Part of every block's ports; there is nothing to clock here.
  /* verilator lint_off UNUSEDSIGNAL */
  input  wire             clk,
  input  wire             rst_n,
  /* verilator lint_on UNUSEDSIGNAL */
  input  wire [PE*IB-1:0] s_tdata,
  input  wire             s_tvalid,
  output wire             s_tready,
  output wire [PE*OB-1:0] m_tdata,
  output wire             m_tvalid,
  input  wire             m_tready
);
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (OB <= IB) begin : g_refused0
      OB_is_not_wider_than_IB refused ();
    end
  endgenerate

  assign m_tvalid = s_tvalid;
  assign s_tready = m_tready;
  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : g_lane
      wire sign = (SIGNED != 0) & s_tdata[p*IB + IB - 1];
      assign m_tdata[p*OB +: OB] = {{(OB-IB){sign}}, s_tdata[p*IB +: IB]};
    end
  endgenerate
endmodule
`default_nettype wire
