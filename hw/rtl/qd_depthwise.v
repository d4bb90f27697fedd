// Depthwise unit: one kernel of K weights for each of C channels, thresholds included where there
// are few.
//
//   in   for each output pixel and channel fold K beats (qd_window's order when DEPTHWISE), PE
//        activations of AB bits (two's complement when ASIGNED); lane p of fold cf is channel
//        cf*PE + p; CF = C/PE folds
//   out  for each output pixel CF beats, PE results of OB bits: BASE + the number of thresholds the
//        accumulator reaches, or for NT = 0 the accumulator
//   rate one input beat per cycle: K*CF cycles per output pixel, without a pause between pixels or
//        frames, which the unit does not tell apart. A stalled output stops the unit only when its
//        queue of results is full.
//   time LATENCY + 3 cycles (below) from a result's last input beat to its output, one more with
//        thresholds
//   mem  WFILE: CF*K words, bits [p*WB +: WB] of word cf*K + k are W[cf*PE + p][k];
//        TFILE: as qd_results says. All two's complement.
//
// DOT is 0 for bit planes, 1 for multipliers (in DSP blocks where USE_DSP is 1 and the tool
// follows).
`default_nettype none
module qd_depthwise #(
  parameter C          = 8,
  parameter K          = 9,
  parameter PE         = 2,
  parameter WB         = 2,
  parameter AB         = 2,
  parameter ASIGNED    = 0,
  parameter ACC        = 7,
  parameter NT         = 3,
  parameter OB         = 2,
  parameter BASE       = 0,
  parameter DOT        = 0,
  parameter USE_DSP    = 0,
  parameter WFILE      = "weights.hex",
  parameter TFILE      = "thresholds.hex",
  parameter WRAM_STYLE = "auto"
) (
`ifdef QD_LOADABLE
  input  wire [9:0]        config_in,
  output wire [9:0]        config_out,
`endif
  input  wire             clk,
  input  wire             rst_n,
  input  wire [PE*AB-1:0] s_tdata,
  input  wire             s_tvalid,
  output wire             s_tready,
  output wire [PE*OB-1:0] m_tdata,
  output wire             m_tvalid,
  input  wire             m_tready
);
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (C % PE != 0) begin : g_refused0
      PE_does_not_divide_C refused ();
    end
    if (DOT != 0 && DOT != 1) begin : g_refused1
      DOT_is_not_0_or_1 refused ();
    end
  endgenerate

  localparam CF      = C/PE;
  localparam PLANES  = DOT == 0;
  localparam DB      = WB + AB;
  // Cycles from an accepted beat to its products: two registers of activation and weight, so that
  // nothing else shares the cycle of a slow memory, and the product's own.
  localparam LATENCY = 2 + (PLANES ? WB + AB - 1 : 1);
  localparam unused_names = {WRAM_STYLE, USE_DSP[0]};  // not every variant reads them

  wire room, k_last;
  wire issue = s_tvalid & s_tready;
  assign s_tready = room | ~k_last;
  qd_cycle #(.N(K)) position (.clk(clk), .rst_n(rst_n), .step(issue), .last(k_last));

  localparam WORDS = CF*K;
  localparam WA    = (WORDS > 1) ? $clog2(WORDS) : 1;
  localparam [31:0] LAST_WORD = WORDS - 1;
`ifdef QD_LOADABLE
  (* no_rw_check *)
`endif
  (* ram_style = WRAM_STYLE *) reg [PE*WB-1:0] weights [0:WORDS-1];
  initial $readmemh(WFILE, weights);
`ifdef QD_LOADABLE
  wire             w_write;
  wire [WA-1:0]    w_at;
  wire [PE*WB-1:0] w_word;
  wire [9:0]       config_link;
  qd_load #(.WIDTH(PE*WB), .WORDS(WORDS)) load (.clk(clk), .rst_n(rst_n), .config_in(config_in),
    .config_out(config_link), .write(w_write), .at(w_at), .word(w_word));
  always @(posedge clk) if (w_write) weights[w_at] <= w_word;
`endif
  reg [WA-1:0]    at;
  reg [PE*WB-1:0] w_read, w;
  reg [PE*AB-1:0] a_taken, a;
  always @(posedge clk)
    if (!rst_n) at <= {WA{1'b0}};
    else if (issue) at <= (at == LAST_WORD[WA-1:0]) ? {WA{1'b0}} : at + 1'b1;
  always @(posedge clk) begin
    w_read  <= weights[at];
    a_taken <= s_tdata;
    w       <= w_read;
    a       <= a_taken;
  end

  wire [PE*DB-1:0] products;
  genvar p, j;
  generate
    for (p = 0; p < PE; p = p + 1) begin : g_lane
      if (PLANES) begin : g_product
        wire [AB*WB-1:0] planes;
        for (j = 0; j < AB; j = j + 1) begin : g_bit
          assign planes[j*WB +: WB] = {WB{a[p*AB + j]}};
        end
        qd_dot_planes #(.SIMD(1), .WB(WB), .AB(AB), .ASIGNED(ASIGNED)) unit (.clk(clk),
          .w(w[p*WB +: WB]), .a(planes), .dot(products[p*DB +: DB]));
      end else begin : g_product
        qd_dot_mult #(.SIMD(1), .WB(WB), .AB(AB), .ASIGNED(ASIGNED), .USE_DSP(USE_DSP)) unit (
          .clk(clk), .w(w[p*WB +: WB]), .a(a[p*AB +: AB]), .dot(products[p*DB +: DB]));
      end
    end
  endgenerate

  qd_results #(.K(K), .NF(CF), .PE(PE), .DB(DB), .LATENCY(LATENCY), .ACC(ACC), .NT(NT), .OB(OB),
    .BASE(BASE), .TFILE(TFILE)) results (.clk(clk), .rst_n(rst_n),
`ifdef QD_LOADABLE
    .config_in(config_link), .config_out(config_out),
`endif
    .issue(issue), .done(issue & k_last), .room(room), .dots(products),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
