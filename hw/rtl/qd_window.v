// Sliding window over raster-scanned feature maps.
//
//   in   H*W pixels per frame, row-major, CF beats of WIDTH bits per pixel
//   out  OH*OW windows per frame, row-major, OH = (H - DH*(KH-1) - 1) / SH + 1, OW likewise;
//        KH*KW*CF beats each: kernel row, kernel column, channel fold innermost,
//        or, when DEPTHWISE, channel fold, kernel row, kernel column innermost
//   rate one beat per cycle on either side: a frame takes the larger of its input and output beats,
//        plus one cycle when one window is the whole frame.
//        A window starts three cycles after its last beat was written at the earliest. The
//        next rows, of the next frame too, are written while the present ones are read.
//        Rows and columns that no window needs are taken and dropped.
//   size (SPANH + AHEAD)*W*CF words of WIDTH bits, SPANH = DH*(KH - 1) + 1. AHEAD is how many rows
//        may be written ahead of the window; 0 means SPANH, which starts the next frame
//        without a gap. Less saves memory and costs up to (SPANH - AHEAD + 1)*W*CF cycles per
//        frame.
//
// The memory is a ring of ROWS rows. The writer tells of each window it completes (`windows`), the
// reader of the rows it is done with (`held`): neither looks at the other's position.
`default_nettype none
module qd_window #(
  parameter WIDTH     = 8,
  parameter CF        = 1,
  parameter H         = 8,
  parameter W         = 8,
  parameter KH        = 3,
  parameter KW        = 3,
  parameter SH        = 1,
  parameter SW        = 1,
  parameter DH        = 1,
  parameter DW        = 1,
  parameter DEPTHWISE = 0,
  parameter AHEAD     = 0,
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
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (H < DH*(KH - 1) + 1 || W < DW*(KW - 1) + 1) begin : g_refused0
      the_window_exceeds_the_map refused ();
    end
  endgenerate

  localparam SPANH = DH*(KH - 1) + 1;
  localparam SPANW = DW*(KW - 1) + 1;
  localparam OH    = (H - SPANH)/SH + 1;
  localparam OW    = (W - SPANW)/SW + 1;
  // Rows between windows that do not touch are not stored.
  localparam MOVE  = (SH < SPANH) ? SH : SPANH;
  localparam ROWS  = SPANH + ((AHEAD > 0) ? AHEAD : SPANH);
  localparam PITCH = W*CF;
  localparam DEPTH = ROWS*PITCH;
  localparam AB    = $clog2(DEPTH);

  localparam unused_style = RAM_STYLE;  // attributes are not seen as a use
  (* ram_style = RAM_STYLE, no_rw_check *) reg [WIDTH-1:0] lines [0:DEPTH-1];

  // ---- writer ----
  wire kept, row_completes, fold_last, column_last, column_completes;
  wire unused_kept, unused_row_last;
  reg  blocked;
  wire take     = s_tvalid & s_tready;
  wire row_done = take & fold_last & column_last;
  assign s_tready = ~(kept & blocked);

  qd_cycle #(.N(CF)) in_fold (.clk(clk), .rst_n(rst_n), .step(take), .last(fold_last));
  qd_stride #(.N(W), .SPAN(SPANW), .STRIDE(SW)) in_column (.clk(clk), .rst_n(rst_n),
    .step(take & fold_last), .kept(unused_kept), .completes(column_completes),
    .last(column_last));
  qd_stride #(.N(H), .SPAN(SPANH), .STRIDE(SH)) in_row (.clk(clk), .rst_n(rst_n),
    .step(row_done), .kept(kept), .completes(row_completes), .last(unused_row_last));

  localparam [31:0] END = DEPTH - 1;
  reg [AB-1:0] write_at;
  always @(posedge clk)
    if (!rst_n) write_at <= {AB{1'b0}};
    else if (take & kept) write_at <= (write_at == END[AB-1:0]) ? {AB{1'b0}} : write_at + 1'b1;
  always @(posedge clk) if (take & kept) lines[write_at] <= s_tdata;

  // ---- reader: where the window's parts begin, and the present beat ----
  wire ready;
  reg  in_window;
  wire go   = m_tready | ~m_tvalid;
  wire step = go & (in_window | ready);

  // Nested from the inside: channel, kernel column, kernel row, channel when depthwise, output.
  localparam N0 = (DEPTHWISE != 0) ? 1 : CF;
  localparam N3 = (DEPTHWISE != 0) ? CF : 1;
  wire last0, last1, last2, last3, last4, last5;
  wire step1 = step & last0;
  wire step2 = step1 & last1;
  wire step3 = step2 & last2;
  wire step4 = step3 & last3;
  wire step5 = step4 & last4;
  qd_cycle #(.N(N0)) n0 (.clk(clk), .rst_n(rst_n), .step(step),  .last(last0));
  qd_cycle #(.N(KW)) n1 (.clk(clk), .rst_n(rst_n), .step(step1), .last(last1));
  qd_cycle #(.N(KH)) n2 (.clk(clk), .rst_n(rst_n), .step(step2), .last(last2));
  qd_cycle #(.N(N3)) n3 (.clk(clk), .rst_n(rst_n), .step(step3), .last(last3));
  qd_cycle #(.N(OW)) n4 (.clk(clk), .rst_n(rst_n), .step(step4), .last(last4));
  qd_cycle #(.N(OH)) n5 (.clk(clk), .rst_n(rst_n), .step(step5), .last(last5));

  // Distances in the ring. A row is never split, so only steps from row to row can wrap.
  localparam [31:0] NEXT_COLUMN  = DW*CF - (N0 - 1);
  localparam [31:0] NEXT_WINDOW  = SW*CF - (N3 - 1);
  localparam KSTEP = (KH > 1) ? DH*PITCH : PITCH;
  localparam [31:0] NEXT_KROW    = KSTEP;
  localparam [31:0] NEXT_ROW     = MOVE*PITCH;
  localparam [31:0] NEXT_FRAME   = SPANH*PITCH;
  localparam [31:0] WRAP_KROW    = DEPTH - KSTEP;
  localparam [31:0] WRAP_ROW     = DEPTH - MOVE*PITCH;
  localparam [31:0] WRAP_FRAME   = DEPTH - SPANH*PITCH;
  reg  [AB-1:0] base, window, krow, at;
  wire [AB-1:0] after_krow  = (krow >= WRAP_KROW[AB-1:0]) ? krow - WRAP_KROW[AB-1:0]
                                                         : krow + NEXT_KROW[AB-1:0];
  wire [AB-1:0] after_row   = (base >= WRAP_ROW[AB-1:0]) ? base - WRAP_ROW[AB-1:0]
                                                         : base + NEXT_ROW[AB-1:0];
  wire [AB-1:0] after_frame = (base >= WRAP_FRAME[AB-1:0]) ? base - WRAP_FRAME[AB-1:0]
                                                         : base + NEXT_FRAME[AB-1:0];
  wire [AB-1:0] after_base  = last5 ? after_frame : after_row;
  wire [AB-1:0] after_window = last3 ? (last4 ? after_base : window + NEXT_WINDOW[AB-1:0])
                                     : window + 1'b1;
  always @(posedge clk)
    if (!rst_n) begin
      base   <= {AB{1'b0}};
      window <= {AB{1'b0}};
      krow   <= {AB{1'b0}};
      at     <= {AB{1'b0}};
    end else begin
      if (step5) base <= after_base;
      if (step3) window <= after_window;
      if (step2) krow <= last2 ? after_window : after_krow;
      if (step)
        at <= !last0 ? at + 1'b1 : !last1 ? at + NEXT_COLUMN[AB-1:0]
                                          : last2 ? after_window : after_krow;
    end

  always @(posedge clk)
    if (!rst_n) m_tvalid <= 1'b0;
    else if (go) m_tvalid <= step;
  always @(posedge clk) if (go) m_tdata <= lines[at];

  // ---- what they tell each other ----
  // Each window completed is begun once; those waiting are within ROWS rows.
  reg  completed;
  wire unused_many;
  always @(posedge clk)
    if (!rst_n) begin
      completed <= 1'b0;
      in_window <= 1'b0;
    end else begin
      completed <= take & fold_last & column_completes & row_completes;
      if (step) in_window <= ~step4;
    end
  qd_level #(.MAX(OW*ROWS)) windows (.clk(clk), .rst_n(rst_n), .up(completed),
    .down(step & ~in_window), .some(ready), .full(unused_many));

  // Finished rows in the ring. It is -1 while the columns after the last window are still being
  // written into a row that the reader is done with, so one code more than ROWS + 1 is needed.
  localparam LB = $clog2(ROWS + 2);
  localparam [31:0] ALL = ROWS, GONE_ROW = MOVE, GONE_FRAME = SPANH;
  reg           released, frame_over;
  reg  [LB-1:0] held;
  wire [LB-1:0] gone = !released ? {LB{1'b0}} : frame_over ? GONE_FRAME[LB-1:0]
                                                           : GONE_ROW[LB-1:0];
  wire [LB-1:0] next_held = held + {{(LB-1){1'b0}}, row_done & kept} - gone;
  always @(posedge clk)
    if (!rst_n) begin
      released   <= 1'b0;
      frame_over <= 1'b0;
      held       <= {LB{1'b0}};
      blocked    <= 1'b0;
    end else begin
      released   <= step5;
      frame_over <= last5;
      held       <= next_held;
      blocked    <= next_held == ALL[LB-1:0];
    end
endmodule
`default_nettype wire
