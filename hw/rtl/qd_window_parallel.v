// Sliding window over raster-scanned feature maps, a whole window per beat.
//
//   in   H*W pixels per frame, row-major, one beat of WIDTH bits per pixel
//   out  OH*OW windows per frame, row-major, OH = (H - DH*(KH-1) - 1) / SH + 1, OW likewise; one
//        beat of KH*KW*WIDTH bits each: kernel row, kernel column, pixel innermost, the first in
//        the least significant bits
//   rate one pixel and one window per cycle: a frame takes H*W cycles if the output never stalls.
//        A window that waits stops the pixels after it.
//   time a window is out two cycles after its last pixel came
//   size DH*(KH - 1) rows of W*WIDTH bits in memory; (KW - 1)*DW + 1 columns of KH pixels in
//        registers, from which the output is taken
//
// The memory holds, for each column, the pixels above the one that comes now. It is read when a
// pixel comes; a cycle later the column goes into the registers and, one row on, back into memory.
`default_nettype none
module qd_window_parallel #(
  parameter WIDTH     = 8,
  parameter H         = 8,
  parameter W         = 8,
  parameter KH        = 3,
  parameter KW        = 3,
  parameter SH        = 1,
  parameter SW        = 1,
  parameter DH        = 1,
  parameter DW        = 1,
  parameter RAM_STYLE = "auto"
) (
  input  wire                   clk,
  input  wire                   rst_n,
  input  wire [WIDTH-1:0]       s_tdata,
  input  wire                   s_tvalid,
  output wire                   s_tready,
  output wire [KH*KW*WIDTH-1:0] m_tdata,
  output reg                    m_tvalid,
  input  wire                   m_tready
);
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (H < DH*(KH - 1) + 1 || W < DW*(KW - 1) + 1) begin : g_refused0
      the_window_exceeds_the_map refused ();
    end
  endgenerate

  localparam SPANH = DH*(KH - 1) + 1;
  localparam SPANW = DW*(KW - 1) + 1;
  localparam ABOVE = SPANH - 1;
  localparam COLUMN = KH*WIDTH;
  localparam unused_style = RAM_STYLE;  // attributes are not seen as a use

  // ---- the pixel that came last, and whether it completes a window ----
  wire take = s_tvalid & s_tready;
  wire column_completes, row_completes, column_last;
  wire unused_column, unused_row, unused_last;
  reg  waiting, completes;
  reg  [WIDTH-1:0] pixel;
  wire shift = waiting & (~m_tvalid | m_tready);
  assign s_tready = ~waiting | shift;

  qd_stride #(.N(W), .SPAN(SPANW), .STRIDE(SW)) in_column (.clk(clk), .rst_n(rst_n),
    .step(take), .kept(unused_column), .completes(column_completes), .last(column_last));
  qd_stride #(.N(H), .SPAN(SPANH), .STRIDE(SH)) in_row (.clk(clk), .rst_n(rst_n),
    .step(take & column_last), .kept(unused_row), .completes(row_completes), .last(unused_last));

  always @(posedge clk)
    if (!rst_n) begin
      waiting  <= 1'b0;
      m_tvalid <= 1'b0;
    end else begin
      waiting  <= take | (waiting & ~shift);
      m_tvalid <= (shift & completes) | (m_tvalid & ~m_tready);
    end
  always @(posedge clk)
    if (take) begin
      pixel     <= s_tdata;
      completes <= column_completes & row_completes;
    end

  // ---- the pixels above it ----
  wire [COLUMN-1:0] column;
  assign column[(KH-1)*WIDTH +: WIDTH] = pixel;
  genvar k;
  generate
    if (ABOVE > 0) begin : g_above
      wire [ABOVE*WIDTH-1:0] above;  // the nearest in the most significant bits
      wire [ABOVE*WIDTH-1:0] moved;  // a row on: the farthest is dropped
      assign moved[(ABOVE-1)*WIDTH +: WIDTH] = pixel;
      if (ABOVE > 1) begin : g_kept
        assign moved[0 +: (ABOVE-1)*WIDTH] = above[ABOVE*WIDTH-1:WIDTH];
      end
      if (W == 1) begin : g_one
        reg [ABOVE*WIDTH-1:0] lines;
        assign above = lines;
        always @(posedge clk) if (shift) lines <= moved;
      end else begin : g_many
        localparam AB = $clog2(W);
        localparam [31:0] END = W - 1;
        (* ram_style = RAM_STYLE, no_rw_check *) reg [ABOVE*WIDTH-1:0] lines [0:W-1];
        reg [ABOVE*WIDTH-1:0] word;
        reg [AB-1:0] read_at, write_at;
        assign above = word;
        always @(posedge clk)
          if (!rst_n) read_at <= {AB{1'b0}};
          else if (take) read_at <= (read_at == END[AB-1:0]) ? {AB{1'b0}} : read_at + 1'b1;
        always @(posedge clk) if (take) begin
          word     <= lines[read_at];
          write_at <= read_at;
        end
        always @(posedge clk) if (shift) lines[write_at] <= moved;
      end
      for (k = 0; k < KH - 1; k = k + 1) begin : g_tap
        assign column[k*WIDTH +: WIDTH] = above[k*DH*WIDTH +: WIDTH];
      end
    end
  endgenerate

  // ---- the columns of the window, the newest in the most significant bits ----
  reg [SPANW*COLUMN-1:0] columns;
  genvar x, y;
  generate
    if (SPANW == 1) begin : g_narrow
      always @(posedge clk) if (shift) columns <= column;
    end else begin : g_wide
      always @(posedge clk) if (shift) columns <= {column, columns[SPANW*COLUMN-1:COLUMN]};
    end
    for (y = 0; y < KH; y = y + 1) begin : g_row
      for (x = 0; x < KW; x = x + 1) begin : g_pixel
        assign m_tdata[(y*KW + x)*WIDTH +: WIDTH] = columns[x*DW*COLUMN + y*WIDTH +: WIDTH];
      end
    end
  endgenerate
endmodule
`default_nettype wire
