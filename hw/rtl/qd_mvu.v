// Matrix-vector unit: MH x MW weights of its own, thresholds included where there are few.
//
//   in   MW/SIMD = SF beats per vector, SIMD activations of AB bits (two's complement when
//        ASIGNED), lane s of beat sf is element sf*SIMD + s
//   out  MH/PE = NF beats per vector, PE results of OB bits, lane p of beat nf is row nf*PE + p:
//        BASE + the number of thresholds the accumulator reaches, or for NT = 0 the accumulator
//   rate SF*NF cycles per vector, vectors back to back; the next vector is accepted meanwhile, at
//        any pace. A stalled output stops the unit only when its queue of results is full.
//   time LATENCY + 3 cycles (below), one more with thresholds, from a vector's last beat to
//        its first output for NF = 1; one more for NF > 1, when the outputs of further row groups
//        follow SF cycles apart
//   mem  WFILE: SF*NF words, bits [(p*SIMD + s)*WB +: WB] of word nf*SF + sf are
//        W[nf*PE + p][sf*SIMD + s], two's complement;  TFILE: NF words, as qd_results says.
//        With WREST > 0 the upper WREST bits of each word are in WRESTFILE, which becomes tables
//        of logic: what would start one more block RAM for a few columns
//
// DOT is 0 for bit planes and counting, 1 for multipliers (in DSP blocks where USE_DSP is 1 and
// the tool follows), 2 for XNOR (WB = AB = 1, bits 0 and 1 meaning -1 and +1 in weights and
// activations). READ is the number of cycles the weights take to be read: 2 where their memory may
// be a block RAM, so that nothing else shares its slow cycle, 1 for tables of logic. Nothing in
// the pipeline can be stopped: a row group is begun only when the queue has a place for its result.
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
  parameter DOT        = 0,
  parameter USE_DSP    = 0,
  parameter READ       = 2,
  parameter WFILE      = "weights.hex",
  parameter TFILE      = "thresholds.hex",
  parameter WRAM_STYLE = "auto",
  parameter WREST      = 0,
  parameter WRESTFILE  = ""
) (
`ifdef QD_LOADABLE
  input  wire [9:0]          config_in,
  output wire [9:0]          config_out,
`endif
  input  wire               clk,
  input  wire               rst_n,
  input  wire [SIMD*AB-1:0] s_tdata,
  input  wire               s_tvalid,
  output wire               s_tready,
  output wire [PE*OB-1:0]   m_tdata,
  output wire               m_tvalid,
  input  wire               m_tready
);
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (MW % SIMD != 0) begin : g_refused0
      SIMD_does_not_divide_MW refused ();
    end
    if (MH % PE != 0) begin : g_refused1
      PE_does_not_divide_MH refused ();
    end
    if (DOT < 0 || DOT > 2) begin : g_refused2
      DOT_is_not_0_to_2 refused ();
    end
    if (DOT == 2 && (WB != 1 || AB != 1)) begin : g_refused3
      XNOR_needs_WB_and_AB_of_1 refused ();
    end
    if (READ != 1 && READ != 2) begin : g_refused4
      READ_is_not_1_or_2 refused ();
    end
    if (WREST < 0 || WREST >= PE*SIMD*WB) begin : g_refused5
      WREST_leaves_no_weights refused ();
    end
  endgenerate

  localparam SF     = MW/SIMD;
  localparam NF     = MH/PE;
  localparam PLANES = DOT == 0;
  localparam XNOR   = DOT == 2;
  localparam DB     = WB + AB + $clog2(SIMD);
  // Cycles in the dot product.
  localparam INSIDE = PLANES ? WB + AB - 1 + $clog2((SIMD + 8)/9)
                    : XNOR ? 2 + $clog2((SIMD + 8)/9) : 1 + $clog2(SIMD);
  // A single word of weights is constant: it needs no second register.
  localparam LATE   = READ == 2 && SF*NF > 1;
  localparam LATENCY = INSIDE + (LATE ? 2 : 1);
  localparam unused_names = {WRAM_STYLE, USE_DSP[0], WRESTFILE};  // not every variant reads them

  // ---- operands: activations and weights ----
  wire issue, room, sf_last, nf_last;
  wire done = issue & sf_last;
  wire [SIMD*AB-1:0] a_read, a;
  qd_cycle #(.N(SF)) column (.clk(clk), .rst_n(rst_n), .step(issue), .last(sf_last));
  qd_cycle #(.N(NF)) row (.clk(clk), .rst_n(rst_n), .step(done), .last(nf_last));
  qd_mvu_input #(.WIDTH(SIMD*AB), .SF(SF), .NF(NF)) activations (.clk(clk), .rst_n(rst_n),
    .s_tdata(s_tdata), .s_tvalid(s_tvalid), .s_tready(s_tready), .allow(room | ~sf_last),
    .sf_last(sf_last), .nf_last(nf_last), .issue(issue), .data(a_read));

  localparam WA = (SF*NF > 1) ? $clog2(SF*NF) : 1;
  localparam WW = PE*SIMD*WB;
`ifdef QD_LOADABLE
  (* no_rw_check *)
`endif
  (* ram_style = WRAM_STYLE *) reg [WW-WREST-1:0] weights [0:SF*NF-1];
  initial $readmemh(WFILE, weights);
`ifdef QD_LOADABLE
  wire          w_write;
  wire [WA-1:0] w_at;
  wire [WW-1:0] w_word;
  wire [9:0]    config_link;
  qd_load #(.WIDTH(WW), .WORDS(SF*NF)) load (.clk(clk), .rst_n(rst_n), .config_in(config_in),
    .config_out(config_link), .write(w_write), .at(w_at), .word(w_word));
  always @(posedge clk) if (w_write) weights[w_at] <= w_word;
`endif
  reg  [WA-1:0]       at;
  reg  [WW-WREST-1:0] low;
  wire [WW-1:0]       w_read, w;
  always @(posedge clk)
    if (!rst_n) at <= {WA{1'b0}};
    else if (issue) at <= (sf_last & nf_last) ? {WA{1'b0}} : at + 1'b1;
  always @(posedge clk) low <= weights[at];
  generate
    if (WREST > 0) begin : g_rest
      (* ram_style = "registers" *) reg [WREST-1:0] rest [0:SF*NF-1];
      initial $readmemh(WRESTFILE, rest);
      reg [WREST-1:0] high;
      always @(posedge clk) high <= rest[at];
      assign w_read = {high, low};
    end else begin : g_whole
      assign w_read = low;
    end
  endgenerate

  // ---- one row of each group ----
  wire [PE*DB-1:0] dots;
  genvar p, s, j;
  generate
    if (!LATE) begin : g_tables
      assign w = w_read;
      assign a = a_read;
    end else begin : g_memory
      reg [PE*SIMD*WB-1:0] w_late;
      reg [SIMD*AB-1:0]    a_late;
      assign w = w_late;
      assign a = a_late;
      always @(posedge clk) begin
        w_late <= w_read;
        a_late <= a_read;
      end
    end
    if (PLANES) begin : g_planes
      wire [AB*SIMD*WB-1:0] planes;
      for (j = 0; j < AB; j = j + 1) begin : g_bit
        for (s = 0; s < SIMD; s = s + 1) begin : g_lane
          assign planes[(j*SIMD + s)*WB +: WB] = {WB{a[s*AB + j]}};
        end
      end
    end
    for (p = 0; p < PE; p = p + 1) begin : g_row
      if (PLANES) begin : g_dot
        qd_dot_planes #(.SIMD(SIMD), .WB(WB), .AB(AB), .ASIGNED(ASIGNED)) unit (.clk(clk),
          .w(w[p*SIMD*WB +: SIMD*WB]), .a(g_planes.planes), .dot(dots[p*DB +: DB]));
      end else if (XNOR) begin : g_dot
        qd_dot_xnor #(.SIMD(SIMD)) unit (.clk(clk),
          .w(w[p*SIMD*WB +: SIMD*WB]), .a(a), .dot(dots[p*DB +: DB]));
      end else begin : g_dot
        qd_dot_mult #(.SIMD(SIMD), .WB(WB), .AB(AB), .ASIGNED(ASIGNED), .USE_DSP(USE_DSP)) unit (
          .clk(clk), .w(w[p*SIMD*WB +: SIMD*WB]), .a(a), .dot(dots[p*DB +: DB]));
      end
    end
  endgenerate

  qd_results #(.K(SF), .NF(NF), .PE(PE), .DB(DB), .LATENCY(LATENCY), .ACC(ACC), .NT(NT),
    .OB(OB), .BASE(BASE), .TFILE(TFILE)) results (.clk(clk), .rst_n(rst_n),
`ifdef QD_LOADABLE
    .config_in(config_link), .config_out(config_out),
`endif
    .issue(issue), .done(done), .room(room), .dots(dots),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
