// Padding around a raster-scanned feature map.
//
//   in   H*W pixels per frame, row-major, CF beats of WIDTH bits per pixel
//   out  (PT+H+PB)*(PL+W+PR) pixels per frame, same order. A beat holds WIDTH/BITS codes;
//        those of the border are VALUE, the low BITS of it.
//   rate one output beat per cycle, frames back to back; a beat comes out one cycle after it went
//        in. A frame's leading border comes out once its first beat is there.
`default_nettype none
module qd_pad #(
  parameter WIDTH = 8,
  parameter CF    = 1,
  parameter H     = 8,
  parameter W     = 8,
  parameter PT    = 1,
  parameter PL    = 1,
  parameter PB    = 1,
  parameter PR    = 1,
  parameter BITS  = 1,
  parameter VALUE = 0
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
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (WIDTH % BITS != 0) begin : g_refused0
      BITS_does_not_divide_WIDTH refused ();
    end
  endgenerate

  wire room, fold_last, column_last, in_column, in_row, row_last;
  wire interior = in_column & in_row;
  // A frame's border waits for the frame, so that nothing follows the last frame.
  reg  first;
  wire valid = s_tvalid | ~(interior | first);
  wire step  = valid & room;
  assign s_tready = interior & room;
  always @(posedge clk)
    if (!rst_n) first <= 1'b1;
    else if (step) first <= fold_last & column_last & row_last;

  qd_cycle #(.N(CF)) fold (.clk(clk), .rst_n(rst_n), .step(step), .last(fold_last));
  qd_interior #(.BEFORE(PL), .N(W), .AFTER(PR)) column (.clk(clk), .rst_n(rst_n),
    .step(step & fold_last), .interior(in_column), .last(column_last));
  qd_interior #(.BEFORE(PT), .N(H), .AFTER(PB)) row (.clk(clk), .rst_n(rst_n),
    .step(step & fold_last & column_last), .interior(in_row), .last(row_last));

  localparam [31:0] CODE = VALUE;
  wire [WIDTH-1:0] border = {(WIDTH/BITS){CODE[BITS-1:0]}};

  qd_skid #(.WIDTH(WIDTH)) out (.clk(clk), .rst_n(rst_n),
    .s_tdata(interior ? s_tdata : border), .s_tvalid(valid), .s_tready(room),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
