// From dot products to results: sums over K of them, thresholds, output queue.
//
//   issue   a dot product of each lane is begun at this clock edge; LATENCY cycles later they are
//           at `dots`
//   done    with `issue`: it is the K-th of its result (only while `room`)
//   room    the queue has a place for one more result; a register
//   dots    PE lanes of DB bits, two's complement
//   out     one beat for each K dot products, PE lanes of OB bits: BASE + the number of thresholds
//           the sum reaches, or for NT = 0 the sum (OB = ACC)
//   time    3 cycles from a result's last dot product at `dots` to its output, 4 with thresholds
//   mem     TFILE: NF words, bits [(p*NT + t)*ACC +: ACC] of word nf are threshold t, ascending, of
//           lane p in results nf, nf + NF, ...; two's complement
//
// Nothing before the queue can be stopped; it has a place for every result under way. Sums
// wrap around in ACC bits, so only the result has to fit.
`default_nettype none
module qd_results #(
  parameter K       = 9,
  parameter NF      = 2,
  parameter PE      = 2,
  parameter DB      = 4,
  parameter LATENCY = 3,
  parameter ACC     = 9,
  parameter NT      = 3,
  parameter OB      = 2,
  parameter BASE    = 0,
  parameter TFILE   = "thresholds.hex"
) (
`ifdef QD_LOADABLE
  input  wire [9:0]        config_in,
  output wire [9:0]        config_out,
`endif
  input  wire             clk,
  input  wire             rst_n,
  input  wire             issue,
  input  wire             done,
  output wire             room,
  input  wire [PE*DB-1:0] dots,
  output wire [PE*OB-1:0] m_tdata,
  output wire             m_tvalid,
  input  wire             m_tready
);
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (LATENCY < 2) begin : g_refused0
      LATENCY_is_below_2 refused ();
    end
    if (NT == 0 && OB != ACC) begin : g_refused1
      OB_is_not_ACC_without_thresholds refused ();
    end
    if (NT < 0 || (OB < 31 && NT >= (1 << OB))) begin : g_refused2
      NT_does_not_fit_OB refused ();
    end
  endgenerate

  // Cycles from `done` to the push, and as many places as results are begun until the first one's
  // place is free again.
  localparam BEHIND = LATENCY + 1 + ((NT > 0) ? 1 : 0);
  localparam NEEDED = (BEHIND + 2)/K + 1;
  localparam QUEUE  = (NEEDED > 4) ? NEEDED : 4;
  localparam unused_names = {TFILE, BASE[7:0], NF[7:0]};  // not every variant reads them

  reg  [LATENCY-1:0] taken, completed;
  reg                fresh, result, push;
  wire               take_now = taken[LATENCY-1];
  wire               done_now = completed[LATENCY-1];
  wire               start    = (K == 1) | fresh;
  always @(posedge clk)
    if (!rst_n) begin
      taken     <= {LATENCY{1'b0}};
      completed <= {LATENCY{1'b0}};
      fresh     <= 1'b1;
      result    <= 1'b0;
    end else begin
      taken     <= {taken[LATENCY-2:0], issue};
      completed <= {completed[LATENCY-2:0], done};
      if (take_now) fresh <= done_now;
      result    <= done_now;
    end

  wire [PE*ACC-1:0] acc;
  wire [PE*OB-1:0]  value;
  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : g_sum
      wire [DB-1:0]  dot = dots[p*DB +: DB];
      wire [ACC-1:0] term;
      if (ACC > DB) begin : g_wide
        assign term = {{(ACC-DB){dot[DB-1]}}, dot};
      end else if (ACC == DB) begin : g_same
        assign term = dot;
      end else begin : g_narrow
        wire unused_high = &{1'b0, dot[DB-1:ACC]};
        assign term = dot[ACC-1:0];
      end
      reg [ACC-1:0] sum;
      always @(posedge clk) if (take_now) sum <= start ? term : sum + term;
      assign acc[p*ACC +: ACC] = sum;
    end

    if (NT == 0) begin : g_raw
`ifdef QD_LOADABLE
      assign config_out = config_in;
`endif
      always @* push = result;
      assign value = acc;
    end else begin : g_levels
      localparam FA = (NF > 1) ? $clog2(NF) : 1;
      localparam [31:0] LAST_FOLD = NF - 1;
      // A deep memory may be a block RAM, whose cycle is long: it is read a cycle ahead, into a
      // register of its own.
      localparam DEEP = NF > 16;
`ifdef QD_LOADABLE
      (* no_rw_check *)
`endif
      reg [PE*NT*ACC-1:0] thresholds [0:NF-1];
      initial $readmemh(TFILE, thresholds);
`ifdef QD_LOADABLE
      wire                t_write;
      wire [FA-1:0]       t_at;
      wire [PE*NT*ACC-1:0] t_word;
      qd_load #(.WIDTH(PE*NT*ACC), .WORDS(NF)) load (.clk(clk), .rst_n(rst_n),
        .config_in(config_in), .config_out(config_out),
        .write(t_write), .at(t_at), .word(t_word));
      always @(posedge clk) if (t_write) thresholds[t_at] <= t_word;
`endif
      reg [FA-1:0]        fold;
      reg [PE*NT*ACC-1:0] level;
      wire                step = DEEP ? completed[LATENCY-2] : done_now;
      always @(posedge clk)
        if (!rst_n) fold <= {FA{1'b0}};
        else if (step) fold <= (fold == LAST_FOLD[FA-1:0]) ? {FA{1'b0}} : fold + 1'b1;
      if (DEEP) begin : g_ahead
        reg [PE*NT*ACC-1:0] read;
        always @(posedge clk) begin
          read  <= thresholds[fold];
          level <= read;
        end
      end else begin : g_now
        always @(posedge clk) level <= thresholds[fold];
      end
      always @(posedge clk) push <= rst_n & result;
      for (p = 0; p < PE; p = p + 1) begin : g_count
        qd_mvu_levels #(.NT(NT), .ACC(ACC), .OB(OB), .BASE(BASE)) count (.clk(clk),
          .enable(result), .acc(acc[p*ACC +: ACC]), .levels(level[p*NT*ACC +: NT*ACC]),
          .value(value[p*OB +: OB]));
      end
    end
  endgenerate

  qd_queue #(.WIDTH(PE*OB), .DEPTH(QUEUE)) queue (.clk(clk), .rst_n(rst_n), .room(room),
    .reserve(done), .push(push), .push_data(value),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
