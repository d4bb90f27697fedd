// Marks the last beat of each frame.
//
//   in    WIDTH bits per beat
//   out   the same beats in the same cycle, m_tlast with every BEATS-th
//   rate  one beat per cycle; no register in the way of data, valid or ready
//   size  a counter
`default_nettype none
module qd_tlast #(
  parameter WIDTH = 8,
  parameter BEATS = 16
) (
  input  wire             clk,
  input  wire             rst_n,
  input  wire [WIDTH-1:0] s_tdata,
  input  wire             s_tvalid,
  output wire             s_tready,
  output wire [WIDTH-1:0] m_tdata,
  output wire             m_tvalid,
  output wire             m_tlast,
  input  wire             m_tready
);
  localparam CB = (BEATS > 1) ? $clog2(BEATS) : 1;
  localparam [31:0] LAST = BEATS - 1;

  reg [CB-1:0] count;
  assign m_tdata  = s_tdata;
  assign m_tvalid = s_tvalid;
  assign s_tready = m_tready;
  assign m_tlast  = (count == LAST[CB-1:0]);
  always @(posedge clk)
    if (!rst_n)                  count <= {CB{1'b0}};
    else if (s_tvalid & m_tready) count <= m_tlast ? {CB{1'b0}} : count + 1'b1;
endmodule
`default_nettype wire
