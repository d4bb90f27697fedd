// Zeros between the pixels of a raster-scanned feature map, for transposed convolutions.
//
//   in   H*W pixels per frame, row-major, CF beats of WIDTH bits per pixel
//   out  ((H - 1)*SH + 1) * ((W - 1)*SW + 1) pixels per frame, same order: SH - 1 rows and SW - 1
//        pixels of 0 between neighbours, none around the map
//   rate one output beat per cycle, frames back to back; a beat comes out one cycle after it went
//        in
`default_nettype none
module qd_dilate #(
  parameter WIDTH = 8,
  parameter CF    = 1,
  parameter H     = 8,
  parameter W     = 8,
  parameter SH    = 2,
  parameter SW    = 2
) (
  input  wire             clk,
  input  wire             rst_n,
  input  wire [WIDTH-1:0] s_tdata,
  input  wire             s_tvalid,
  output wire             s_tready,
  output wire [WIDTH-1:0] m_tdata,
  output wire             m_tvalid,
  input  wire             m_tready
);
  // A frame begins and ends with a pixel, so no zero waits for a frame that does not come.
  wire room, fold_last, column_last, in_column, in_row;
  wire unused_row_last;
  wire pixel = in_column & in_row;
  wire valid = s_tvalid | ~pixel;
  wire step  = valid & room;
  assign s_tready = pixel & room;

  qd_cycle #(.N(CF)) fold (.clk(clk), .rst_n(rst_n), .step(step), .last(fold_last));
  qd_spaced #(.N(W), .S(SW)) column (.clk(clk), .rst_n(rst_n),
    .step(step & fold_last), .pixel(in_column), .last(column_last));
  qd_spaced #(.N(H), .S(SH)) row (.clk(clk), .rst_n(rst_n),
    .step(step & fold_last & column_last), .pixel(in_row), .last(unused_row_last));

  qd_skid #(.WIDTH(WIDTH)) out (.clk(clk), .rst_n(rst_n),
    .s_tdata(s_tdata & {WIDTH{pixel}}), .s_tvalid(valid), .s_tready(room),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
