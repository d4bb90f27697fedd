// Channels of a raster-scanned feature map laid out as pixels: B rows and columns from each pixel.
//
//   in   W pixels per row; B*B*CF beats of WIDTH bits per pixel: row and column of the pixel that
//        they become, channel fold innermost
//   out  for each row B rows of W*B pixels, CF beats per pixel
//   rate one beat per cycle on either side, rows and frames back to back. A row goes out from the
//        second cycle after its last beat came in; the next one comes in meanwhile.
//   mem  two rows, 2*W*B*B*CF words of WIDTH bits
`default_nettype none
module qd_depth_to_space #(
  parameter WIDTH     = 8,
  parameter CF        = 1,
  parameter W         = 8,
  parameter B         = 2,
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
  localparam RUN   = B*CF;  // beats that stay together
  localparam PIXEL = B*RUN;
  localparam ROW   = W*PIXEL;
  localparam DEPTH = 2*ROW;
  localparam AB    = $clog2(DEPTH);
  localparam [31:0] END = DEPTH - 1, SECOND = ROW, NEXT_RUN = RUN, NEXT_PIXEL = PIXEL - RUN + 1;

  localparam unused_style = RAM_STYLE;  // attributes are not seen as a use
  (* ram_style = RAM_STYLE, no_rw_check *) reg [WIDTH-1:0] words [0:DEPTH-1];

  // ---- writer: one row, then the other ----
  wire full, some, row_last;
  wire take = s_tvalid & ~full;
  assign s_tready = ~full;
  qd_cycle #(.N(ROW)) in_row (.clk(clk), .rst_n(rst_n), .step(take), .last(row_last));
  reg  [AB-1:0] write_at;
  always @(posedge clk)
    if (!rst_n) write_at <= {AB{1'b0}};
    else if (take) write_at <= (write_at == END[AB-1:0]) ? {AB{1'b0}} : write_at + 1'b1;
  always @(posedge clk) if (take) words[write_at] <= s_tdata;

  // ---- reader, nested from the inside: run of beats, pixel of the input, row of the output ----
  wire last0, last1, last2;
  wire go    = m_tready | ~m_tvalid;
  wire step  = go & some;
  wire step1 = step & last0;
  wire step2 = step1 & last1;
  qd_cycle #(.N(RUN)) n0 (.clk(clk), .rst_n(rst_n), .step(step),  .last(last0));
  qd_cycle #(.N(W))   n1 (.clk(clk), .rst_n(rst_n), .step(step1), .last(last1));
  qd_cycle #(.N(B))   n2 (.clk(clk), .rst_n(rst_n), .step(step2), .last(last2));

  reg           second;  // which of the two rows
  reg  [AB-1:0] begun, at;  // where the present row of the output begins, and the present beat
  wire [AB-1:0] after = !last2 ? begun + NEXT_RUN[AB-1:0] : second ? {AB{1'b0}} : SECOND[AB-1:0];
  always @(posedge clk)
    if (!rst_n) begin
      second <= 1'b0;
      begun  <= {AB{1'b0}};
      at     <= {AB{1'b0}};
    end else begin
      if (step2 & last2) second <= ~second;
      if (step2) begun <= after;
      if (step) at <= !last0 ? at + 1'b1 : !last1 ? at + NEXT_PIXEL[AB-1:0] : after;
    end

  always @(posedge clk)
    if (!rst_n) m_tvalid <= 1'b0;
    else if (go) m_tvalid <= step;
  always @(posedge clk) if (go) m_tdata <= words[at];

  qd_level #(.MAX(2)) rows (.clk(clk), .rst_n(rst_n), .up(take & row_last),
    .down(step2 & last2), .some(some), .full(full));
endmodule
`default_nettype wire
