// Thresholds: accumulators to activation codes, code = BASE + #{t : acc >= T[channel, t]}.
//
//   in    C/PE beats per vector, PE signed lanes of ACC bits, lane p of beat n is channel n*PE + p
//   out   the same beats, lanes of OB bits, two's complement where BASE is negative
//   rate  one beat per cycle; a stalled pipeline still closes its gaps
//   time  NT <= 15: 3 cycles, 4 where C/PE > 16; else, or with SEARCH, 2*$clog2(NT+1) + 2
//   ready registered at the output (two words of buffer); s_tready follows the stages' fill
//   mem   NT <= 15: {TFILE, ".hex"}, C/PE words, T[n*PE+p, t] at bits [(p*NT + t)*ACC +: ACC],
//         all compared at once; else, or with SEARCH, a binary search, files as qd_threshold_stage
//         says, the table padded to 2^k - 1 levels with the highest value
`default_nettype none
module qd_threshold #(
  parameter C         = 16,
  parameter PE        = 4,
  parameter ACC       = 16,
  parameter NT        = 3,
  parameter OB        = 2,
  parameter BASE      = 0,
  parameter SEARCH    = 0,
  parameter TFILE     = "thresholds",
  // Goes into an attribute, which the linter does not look into.
  /* verilator lint_off UNUSEDPARAM */
  parameter RAM_STYLE = "auto"
  /* verilator lint_on UNUSEDPARAM */
) (
`ifdef QD_LOADABLE
  input  wire [9:0]         config_in,
  output wire [9:0]         config_out,
`endif
  input  wire              clk,
  input  wire              rst_n,
  input  wire [PE*ACC-1:0] s_tdata,
  input  wire              s_tvalid,
  output wire              s_tready,
  output wire [PE*OB-1:0]  m_tdata,
  output wire              m_tvalid,
  input  wire              m_tready
);
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (C % PE != 0) begin : g_refused0
      PE_does_not_divide_C refused ();
    end
    if (NT < 1) begin : g_refused1
      NT_is_below_1 refused ();
    end
  endgenerate

  localparam FOLDS  = C / PE;
  localparam FB     = (FOLDS > 1) ? $clog2(FOLDS) : 1;
  localparam CB     = $clog2(NT + 1);
  localparam AT_ONCE = NT <= 15 && SEARCH == 0;
  // A deep memory may be a block RAM, whose cycle is long: a register of its own follows it.
  localparam LATE   = (FOLDS > 16) ? 1 : 0;
  localparam STAGES = AT_ONCE ? 2 + LATE : 2*CB + 1;
  localparam [31:0] LAST = FOLDS - 1;

  // Stage i takes a beat when it or a later one is free, or the output takes one.
  reg  [STAGES-1:0] full;
  wire [STAGES-1:0] enable;
  wire              out_ready;
  wire [PE*OB-1:0]  code;
  wire [PE*CB-1:0]  count;
  integer i;
  always @(posedge clk)
    if (!rst_n) full <= {STAGES{1'b0}};
    else begin
      if (enable[0]) full[0] <= s_tvalid;
      for (i = 1; i < STAGES; i = i + 1) if (enable[i]) full[i] <= full[i-1];
    end
  assign s_tready = enable[0];

  reg [FB-1:0] fold;
  always @(posedge clk)
    if (!rst_n)                   fold <= {FB{1'b0}};
    else if (s_tvalid & s_tready) fold <= (fold == LAST[FB-1:0]) ? {FB{1'b0}} : fold + 1'b1;

  genvar p, s, t;
  generate
    for (s = 0; s < STAGES; s = s + 1) begin : g_enable
      assign enable[s] = out_ready | ~(&full[STAGES-1:s]);
    end

    if (AT_ONCE) begin : g_parallel
`ifdef QD_LOADABLE
      (* no_rw_check *)
`endif
      (* ram_style = RAM_STYLE *) reg [PE*NT*ACC-1:0] words [0:FOLDS-1];
      initial $readmemh({TFILE, ".hex"}, words);
`ifdef QD_LOADABLE
      wire                 t_write;
      wire [FB-1:0]        t_at;
      wire [PE*NT*ACC-1:0] t_word;
      qd_load #(.WIDTH(PE*NT*ACC), .WORDS(FOLDS)) load (.clk(clk), .rst_n(rst_n),
        .config_in(config_in), .config_out(config_out),
        .write(t_write), .at(t_at), .word(t_word));
      always @(posedge clk) if (t_write) words[t_at] <= t_word;
`endif
      reg [PE*NT*ACC-1:0] thresholds;
      reg [PE*ACC-1:0]    accs;
      reg [PE*NT-1:0]     met;
      wire [PE*NT*ACC-1:0] word;
      wire [PE*ACC-1:0]    taken;
      if (LATE != 0) begin : g_deep
        reg [PE*NT*ACC-1:0] read;
        reg [PE*ACC-1:0]    beside;
        always @(posedge clk) if (enable[0]) begin
          read   <= words[fold];
          beside <= s_tdata;
        end
        assign word  = read;
        assign taken = beside;
      end else begin : g_shallow
        assign word  = words[fold];
        assign taken = s_tdata;
      end
      always @(posedge clk) if (enable[LATE]) begin
        thresholds <= word;
        accs       <= taken;
      end
      for (p = 0; p < PE; p = p + 1) begin : g_lane
        wire signed [ACC-1:0] acc = accs[p*ACC +: ACC];
        for (t = 0; t < NT; t = t + 1) begin : g_level
          wire signed [ACC-1:0] threshold = thresholds[(p*NT+t)*ACC +: ACC];
          always @(posedge clk) if (enable[LATE+1]) met[p*NT+t] <= (acc >= threshold);
        end
        reg [CB-1:0] ones;
        integer      k;
        always @* begin
          ones = {CB{1'b0}};
          for (k = 0; k < NT; k = k + 1) ones = ones + {{(CB-1){1'b0}}, met[p*NT+k]};
        end
        assign count[p*CB +: CB] = ones;
      end
    end else begin : g_search
      // What stage s is given: accumulators, folds, and heap indices of s+1 bits per lane.
      wire [(CB+1)*PE*ACC-1:0]         accs;
      wire [(CB+1)*FB-1:0]             folds;
      wire [PE*(CB+1)*(CB+2)/2-1:0]    heaps;
`ifdef QD_LOADABLE
      wire [(CB+1)*10-1:0] config_links;
      assign config_links[9:0] = config_in;
      assign config_out        = config_links[CB*10 +: 10];
`endif
      assign accs[PE*ACC-1:0] = s_tdata;
      assign folds[FB-1:0]    = fold;
      assign heaps[PE-1:0]    = {PE{1'b1}};
      for (s = 0; s < CB; s = s + 1) begin : g_stage
        qd_threshold_stage #(
          .STAGE(s), .PE(PE), .ACC(ACC), .FOLDS(FOLDS), .FB(FB), .TFILE(TFILE),
          .RAM_STYLE(RAM_STYLE)
        ) stage (
          .clk(clk),
`ifdef QD_LOADABLE
          .rst_n(rst_n),
          .config_in(config_links[s*10 +: 10]),
          .config_out(config_links[(s+1)*10 +: 10]),
`endif
          .enable(enable[2*s +: 2]),
          .in_acc(accs[s*PE*ACC +: PE*ACC]),
          .in_fold(folds[s*FB +: FB]),
          .in_heap(heaps[PE*s*(s+1)/2 +: PE*(s+1)]),
          .out_acc(accs[(s+1)*PE*ACC +: PE*ACC]),
          .out_fold(folds[(s+1)*FB +: FB]),
          .out_heap(heaps[PE*(s+1)*(s+2)/2 +: PE*(s+2)])
        );
      end
      // The last accumulators and fold have no further stage.
      /* verilator lint_off UNUSEDSIGNAL */
      wire unused = &{accs[CB*PE*ACC +: PE*ACC], folds[CB*FB +: FB]};
      /* verilator lint_on UNUSEDSIGNAL */
      for (p = 0; p < PE; p = p + 1) begin : g_lane
        // All decisions are the count; the leading one of the heap index says nothing.
        /* verilator lint_off UNUSEDSIGNAL */
        wire [CB:0]   heap = heaps[PE*CB*(CB+1)/2 + p*(CB+1) +: CB+1];
        /* verilator lint_on UNUSEDSIGNAL */
        wire [CB-1:0] path = heap[CB-1:0];
        reg  [CB-1:0] capped;
        if (NT + 1 == (1 << CB)) begin : g_exact
          always @(posedge clk) if (enable[2*CB]) capped <= path;
        end else begin : g_padded
          localparam [31:0] TOP = NT;
          // Padding levels are met only by an accumulator that meets all others.
          always @(posedge clk)
            if (enable[2*CB]) capped <= (path > TOP[CB-1:0]) ? TOP[CB-1:0] : path;
        end
        assign count[p*CB +: CB] = capped;
      end
    end

    for (p = 0; p < PE; p = p + 1) begin : g_code
      wire [CB-1:0] ones = count[p*CB +: CB];
      // Only the low OB bits of the sum are the code.
      /* verilator lint_off UNUSEDSIGNAL */
      wire [31:0] sum = BASE + {{(32-CB){1'b0}}, ones};
      /* verilator lint_on UNUSEDSIGNAL */
      assign code[p*OB +: OB] = sum[OB-1:0];
    end
  endgenerate

  /* verilator lint_off UNUSEDSIGNAL */
  wire [15:0] fill;  // unused
  /* verilator lint_on UNUSEDSIGNAL */
  qd_fifo #(.WIDTH(PE*OB), .DEPTH(2)) out (
    .clk(clk), .rst_n(rst_n),
    .s_tdata(code), .s_tvalid(full[STAGES-1]), .s_tready(out_ready),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready),
    .fill(fill)
  );
endmodule
`default_nettype wire
