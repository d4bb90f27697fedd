// Register between two streams: no path from m_tready to s_tready.
//
//   in, out  WIDTH bits, AXI-Stream
//   rate     one beat per cycle; a beat comes out one cycle after it went in
//   size     two beats, in registers
`default_nettype none
module qd_skid #(
  parameter WIDTH = 8
) (
  input  wire             clk,
  input  wire             rst_n,
  input  wire [WIDTH-1:0] s_tdata,
  input  wire             s_tvalid,
  output reg              s_tready,
  output reg  [WIDTH-1:0] m_tdata,
  output reg              m_tvalid,
  input  wire             m_tready
);
  // s_tready falls when the spare register holds the beat that the output could not take.
  reg  [WIDTH-1:0] spare;
  wire             free = m_tready | ~m_tvalid;

  always @(posedge clk)
    if (!rst_n) begin
      m_tvalid <= 1'b0;
      s_tready <= 1'b1;
    end else begin
      if (free) m_tvalid <= s_tvalid | ~s_tready;
      if (free) s_tready <= 1'b1;
      else if (s_tvalid) s_tready <= 1'b0;
    end

  always @(posedge clk) begin
    if (s_tready) spare <= s_tdata;
    if (free) m_tdata <= s_tready ? s_tdata : spare;
  end
endmodule
`default_nettype wire
