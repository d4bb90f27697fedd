// A raster-scanned feature map with every pixel repeated: nearest-neighbour enlargement.
//
//   in   W pixels per row, CF beats of WIDTH bits per pixel
//   out  for each row KH rows of W*KW pixels: each pixel KW times, each row KH times
//   rate one output beat per cycle, rows and frames back to back. A beat comes out two cycles after
//        it went in at the earliest.
//   mem  a row (a pixel for KH = 1), four words at least, of WIDTH bits. A word is free again once
//        it went out for the last time: while a row is repeated the input waits, and the next row
//        comes in during the last repetition.
`default_nettype none
module qd_upsample #(
  parameter WIDTH     = 8,
  parameter CF        = 1,
  parameter W         = 8,
  parameter KH        = 2,
  parameter KW        = 2,
  parameter RAM_STYLE = "auto"
) (
  input  wire             clk,
  input  wire             rst_n,
  input  wire [WIDTH-1:0] s_tdata,
  input  wire             s_tvalid,
  output wire             s_tready,
  output reg  [WIDTH-1:0] m_tdata,
  output reg              m_tvalid,
  input  wire             m_tready
);
  localparam KEPT  = (KH > 1) ? W*CF : CF;
  localparam DEPTH = (KEPT > 4) ? KEPT : 4;
  localparam AB    = $clog2(DEPTH);
  localparam [31:0] END = DEPTH - 1;

  localparam unused_style = RAM_STYLE;  // attributes are not seen as a use
  (* ram_style = RAM_STYLE, no_rw_check *) reg [WIDTH-1:0] words [0:DEPTH-1];

  // ---- writer: round the memory, as far as words are free ----
  wire full, some;
  wire take = s_tvalid & ~full;
  assign s_tready = ~full;
  reg  [AB-1:0] write_at;
  always @(posedge clk)
    if (!rst_n) write_at <= {AB{1'b0}};
    else if (take) write_at <= (write_at == END[AB-1:0]) ? {AB{1'b0}} : write_at + 1'b1;
  always @(posedge clk) if (take) words[write_at] <= s_tdata;

  // ---- reader, nested from the inside: channel, repeated pixel, column, repeated row ----
  wire last0, last1, last2, last3;
  reg  first_pixel, first_row;  // a pixel's, a row's first time
  wire fresh = first_pixel & first_row;
  wire go    = m_tready | ~m_tvalid;
  wire step  = go & (some | ~fresh);
  wire step1 = step & last0;
  wire step2 = step1 & last1;
  wire step3 = step2 & last2;
  qd_cycle #(.N(CF)) n0 (.clk(clk), .rst_n(rst_n), .step(step),  .last(last0));
  qd_cycle #(.N(KW)) n1 (.clk(clk), .rst_n(rst_n), .step(step1), .last(last1));
  qd_cycle #(.N(W))  n2 (.clk(clk), .rst_n(rst_n), .step(step2), .last(last2));
  qd_cycle #(.N(KH)) n3 (.clk(clk), .rst_n(rst_n), .step(step3), .last(last3));
  always @(posedge clk)
    if (!rst_n) begin
      first_pixel <= 1'b1;
      first_row   <= 1'b1;
    end else begin
      if (step1) first_pixel <= last1;
      if (step3) first_row <= last3;
    end

  // Where the row, the pixel and the present beat are.
  reg  [AB-1:0] row, pixel, at;
  wire [AB-1:0] next  = (at == END[AB-1:0]) ? {AB{1'b0}} : at + 1'b1;
  wire [AB-1:0] after = (last2 & ~last3) ? row : next;
  always @(posedge clk)
    if (!rst_n) begin
      row   <= {AB{1'b0}};
      pixel <= {AB{1'b0}};
      at    <= {AB{1'b0}};
    end else begin
      if (step) at <= !last0 ? next : !last1 ? pixel : after;
      if (step2) pixel <= after;
      if (step3 & last3) row <= next;
    end

  always @(posedge clk)
    if (!rst_n) m_tvalid <= 1'b0;
    else if (go) m_tvalid <= step;
  always @(posedge clk) if (go) m_tdata <= words[at];

  // ---- words that went out for the last time, and words that did not go out yet ----
  wire unused_some, unused_full;
  qd_level #(.MAX(DEPTH)) kept (.clk(clk), .rst_n(rst_n), .up(take),
    .down(step & last1 & last3), .some(unused_some), .full(full));
  qd_level #(.MAX(DEPTH)) waiting (.clk(clk), .rst_n(rst_n), .up(take),
    .down(step & fresh), .some(some), .full(unused_full));
endmodule
`default_nettype wire
