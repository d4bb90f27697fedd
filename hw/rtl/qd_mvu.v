// Matrix-vector unit: MH x MW weights of its own, thresholds included where there are few.
//
//   in   MW/SIMD = SF beats a vector, SIMD activations of AB bits (two's complement when ASIGNED),
//        lane s of beat sf is element sf*SIMD + s
//   out  MH/PE = NF beats a vector, PE results of OB bits, lane p of beat nf is row nf*PE + p:
//        BASE + the number of thresholds the accumulator reaches, or for NT = 0 the accumulator
//   rate SF*NF cycles a vector, vectors back to back; the next vector is taken meanwhile, at any
//        pace. A stalled output stops the unit only when its queue of results is full.
//   time BEHIND + 2 cycles (below) from a vector's last beat to its first output for NF = 1; one
//        more for NF > 1, when the outputs of further row groups follow SF cycles apart
//   mem  WFILE: SF*NF words, bits [(p*SIMD + s)*WB +: WB] of word nf*SF + sf are
//        W[nf*PE + p][sf*SIMD + s];  TFILE: NF words, bits [(p*NT + t)*ACC +: ACC] of word nf are
//        threshold t, ascending, of row nf*PE + p. All two's complement.
//
// DOT is "planes" (bit planes and counting) or "mult" (multipliers, in DSP blocks if USE_DSP says
// "yes" and the tool follows). Nothing in the pipeline can be stopped: a row group is begun only
// when the queue has a place for its result.
`default_nettype none
module qd_mvu #(
  parameter MW         = 16,
  parameter MH         = 8,
  parameter PE         = 2,
  parameter SIMD       = 4,
  parameter WB         = 2,
  parameter AB         = 2,
  parameter ASIGNED    = 0,
  parameter ACC        = 9,
  parameter NT         = 3,
  parameter OB         = 2,
  parameter BASE       = 0,
  parameter DOT        = "planes",
  parameter USE_DSP    = "no",
  parameter WFILE      = "weights.hex",
  parameter TFILE      = "thresholds.hex",
  parameter WRAM_STYLE = "auto"
) (
  input  wire               clk,
  input  wire               rst_n,
  input  wire [SIMD*AB-1:0] s_tdata,
  input  wire               s_tvalid,
  output wire               s_tready,
  output wire [PE*OB-1:0]   m_tdata,
  output wire               m_tvalid,
  input  wire               m_tready
);
  localparam SF     = MW/SIMD;
  localparam NF     = MH/PE;
  // By the last letter: linters mind strings of different lengths being compared.
  localparam PLANES = DOT[7:0] == "s";
  localparam DB     = WB + AB + $clog2(SIMD);
  // Cycles in the dot product, and from the weights' address to the push into the queue.
  localparam INSIDE = PLANES ? WB + AB - 1 + $clog2((SIMD + 8)/9) : 1 + $clog2(SIMD);
  localparam BEHIND = INSIDE + 2 + ((NT > 0) ? 1 : 0);
  // As many places as results are begun until the first one's place is free again.
  localparam NEEDED = (BEHIND + 2)/SF + 1;
  localparam QUEUE  = (NEEDED > 4) ? NEEDED : 4;
  localparam unused_names = {TFILE, WRAM_STYLE, USE_DSP};  // not every variant reads them

  // ---- what is due: activations and weights ----
  wire issue, room, sf_last, nf_last;
  wire done = issue & sf_last;
  wire [SIMD*AB-1:0] a;
  qd_cycle #(.N(SF)) column (.clk(clk), .rst_n(rst_n), .step(issue), .last(sf_last));
  qd_cycle #(.N(NF)) row (.clk(clk), .rst_n(rst_n), .step(done), .last(nf_last));
  qd_mvu_input #(.WIDTH(SIMD*AB), .SF(SF), .NF(NF)) activations (.clk(clk), .rst_n(rst_n),
    .s_tdata(s_tdata), .s_tvalid(s_tvalid), .s_tready(s_tready), .allow(room | ~sf_last),
    .sf_last(sf_last), .nf_last(nf_last), .issue(issue), .data(a));

  localparam WA = (SF*NF > 1) ? $clog2(SF*NF) : 1;
  (* ram_style = WRAM_STYLE *) reg [PE*SIMD*WB-1:0] weights [0:SF*NF-1];
  initial $readmemh(WFILE, weights);
  reg [WA-1:0]         at;
  reg [PE*SIMD*WB-1:0] w;
  always @(posedge clk)
    if (!rst_n) at <= {WA{1'b0}};
    else if (issue) at <= (sf_last & nf_last) ? {WA{1'b0}} : at + 1'b1;
  always @(posedge clk) w <= weights[at];

  // ---- alongside the dot products: which sums count, which complete a result ----
  reg [INSIDE:0] taken, completed;
  reg            fresh, result, push;
  wire           take_now  = taken[INSIDE];
  wire           done_now  = completed[INSIDE];
  wire           start     = (SF == 1) | fresh;
  always @(posedge clk)
    if (!rst_n) begin
      taken     <= {(INSIDE+1){1'b0}};
      completed <= {(INSIDE+1){1'b0}};
      fresh     <= 1'b1;
      result    <= 1'b0;
    end else begin
      taken     <= {taken[INSIDE-1:0], issue};
      completed <= {completed[INSIDE-1:0], done};
      if (take_now) fresh <= done_now;
      result    <= done_now;
    end

  // ---- one row of each group ----
  wire [PE*ACC-1:0] acc;
  wire [PE*OB-1:0]  value;
  genvar p, s, j;
  generate
    if (PLANES) begin : g_planes
      wire [AB*SIMD*WB-1:0] planes;
      for (j = 0; j < AB; j = j + 1) begin : g_bit
        for (s = 0; s < SIMD; s = s + 1) begin : g_lane
          assign planes[(j*SIMD + s)*WB +: WB] = {WB{a[s*AB + j]}};
        end
      end
    end
    for (p = 0; p < PE; p = p + 1) begin : g_row
      wire [DB-1:0] dot;
      if (PLANES) begin : g_dot
        qd_dot_planes #(.SIMD(SIMD), .WB(WB), .AB(AB), .ASIGNED(ASIGNED)) unit (.clk(clk),
          .w(w[p*SIMD*WB +: SIMD*WB]), .a(g_planes.planes), .dot(dot));
      end else begin : g_dot
        qd_dot_mult #(.SIMD(SIMD), .WB(WB), .AB(AB), .ASIGNED(ASIGNED), .USE_DSP(USE_DSP)) unit (
          .clk(clk), .w(w[p*SIMD*WB +: SIMD*WB]), .a(a), .dot(dot));
      end
      // Sums wrap around in ACC bits; the result fits.
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
  endgenerate

  // ---- results ----
  generate
    if (NT == 0) begin : g_raw
      always @* push = result;
      for (p = 0; p < PE; p = p + 1) begin : g_row
        assign value[p*OB +: OB] = acc[p*ACC +: ACC];
      end
    end else begin : g_levels
      localparam FA = (NF > 1) ? $clog2(NF) : 1;
      localparam [31:0] LAST_FOLD = NF - 1;
      reg [PE*NT*ACC-1:0] thresholds [0:NF-1];
      initial $readmemh(TFILE, thresholds);
      reg [FA-1:0]        fold;
      reg [PE*NT*ACC-1:0] level;
      always @(posedge clk)
        if (!rst_n) fold <= {FA{1'b0}};
        else if (done_now) fold <= (fold == LAST_FOLD[FA-1:0]) ? {FA{1'b0}} : fold + 1'b1;
      always @(posedge clk) level <= thresholds[fold];
      always @(posedge clk) push <= rst_n & result;
      for (p = 0; p < PE; p = p + 1) begin : g_row
        qd_mvu_levels #(.NT(NT), .ACC(ACC), .OB(OB), .BASE(BASE)) count (.clk(clk),
          .enable(result), .acc(acc[p*ACC +: ACC]), .levels(level[p*NT*ACC +: NT*ACC]),
          .value(value[p*OB +: OB]));
      end
    end
  endgenerate

  qd_queue #(.WIDTH(PE*OB), .DEPTH(QUEUE)) results (.clk(clk), .rst_n(rst_n), .room(room),
    .reserve(done), .push(push), .push_data(value),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
