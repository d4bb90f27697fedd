// Fixed-point requantization, exact: code = min(max(floor((acc*M + B) / 2^SHIFT), LO), HI).
//
//   in    C/PE beats per vector, PE lanes of ACC bits, two's complement; lane p of beat n is
//         channel n*PE + p
//   out   the same beats, lanes of OB bits, two's complement where LO is negative
//   rate  one beat per cycle; a stalled output stops the unit only when its queue is full
//   time  LATENCY + 5 cycles (below) from a beat to its codes
//   mem   MFILE: C/PE words, M[n*PE + p] at bits [p*MB +: MB] of word n, unsigned;
//         BFILE: C/PE words, B[n*PE + p] at bits [p*BB +: BB] of word n, two's complement
//
// Inside everything is as wide as acc*M + B can be; SHIFT is less than that width. Rounding is part
// of B: half of 2^SHIFT added there rounds half up. With EVEN it rounds half to even: where acc*M
// + B is a multiple of 2^SHIFT, the low bit of the quotient is cleared. The compiler chooses M, B
// and SHIFT so that every accumulator of the layer's range gets the quantizer's own code.
`default_nettype none
module qd_requant #(
  parameter C       = 8,
  parameter PE      = 2,
  parameter ACC     = 16,
  parameter MB      = 8,
  parameter BB      = 24,
  parameter SHIFT   = 16,
  parameter EVEN    = 0,
  parameter OB      = 8,
  parameter LO      = 0,
  parameter HI      = 255,
  parameter USE_DSP = 1,
  parameter MFILE   = "multipliers.hex",
  parameter BFILE   = "biases.hex"
) (
`ifdef QD_LOADABLE
  input  wire [9:0]        config_in,
  output wire [9:0]        config_out,
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
    if (LO > HI) begin : g_refused1
      LO_exceeds_HI refused ();
    end
    if (SHIFT < 0 || SHIFT > ((ACC + MB > BB) ? ACC + MB : BB)) begin : g_refused2
      SHIFT_exceeds_the_sum refused ();
    end
  endgenerate

  localparam NF = C/PE;
  localparam FA = (NF > 1) ? $clog2(NF) : 1;
  localparam PB = ACC + MB;
  localparam SB = ((PB > BB) ? PB : BB) + 1;
  // A code before saturation, in at least as many bits as its bounds need.
  localparam QB = ((SB - SHIFT > OB) ? SB - SHIFT : OB) + 1;
  localparam [31:0] LAST = NF - 1;
  // Cycles in the multiplier; then one each for the sum and the saturation.
  localparam LATENCY = (USE_DSP == 0) ? MB : (MB > ((ACC <= 18) ? 24 : 17)) ? 2 : 1;

  wire take = s_tvalid & s_tready;
  reg  [LATENCY+2:0] busy;  // a beat is in the registers after stage i
  always @(posedge clk)
    if (!rst_n) busy <= {(LATENCY+3){1'b0}};
    else busy <= {busy[LATENCY+1:0], take};

  // Multipliers are read when a beat comes, biases when its product is about to be ready.
`ifdef QD_LOADABLE
  (* no_rw_check *)
`endif
  reg  [PE*MB-1:0] multipliers [0:NF-1];
`ifdef QD_LOADABLE
  (* no_rw_check *)
`endif
  reg  [PE*BB-1:0] biases [0:NF-1];
  initial $readmemh(MFILE, multipliers);
  initial $readmemh(BFILE, biases);
`ifdef QD_LOADABLE
  wire            m_write, b_write;
  wire [FA-1:0]   m_at, b_at;
  wire [PE*MB-1:0] m_word;
  wire [PE*BB-1:0] b_word;
  wire [9:0]      config_link;
  qd_load #(.WIDTH(PE*MB), .WORDS(NF)) m_load (.clk(clk), .rst_n(rst_n), .config_in(config_in),
    .config_out(config_link), .write(m_write), .at(m_at), .word(m_word));
  qd_load #(.WIDTH(PE*BB), .WORDS(NF)) b_load (.clk(clk), .rst_n(rst_n), .config_in(config_link),
    .config_out(config_out), .write(b_write), .at(b_at), .word(b_word));
  always @(posedge clk) begin
    if (m_write) multipliers[m_at] <= m_word;
    if (b_write) biases[b_at] <= b_word;
  end
`endif
  reg  [FA-1:0]     m_fold, b_fold;
  reg  [PE*ACC-1:0] acc;
  reg  [PE*MB-1:0]  m;
  reg  [PE*BB-1:0]  b;
  always @(posedge clk)
    if (!rst_n) begin
      m_fold <= {FA{1'b0}};
      b_fold <= {FA{1'b0}};
    end else begin
      if (take) m_fold <= (m_fold == LAST[FA-1:0]) ? {FA{1'b0}} : m_fold + 1'b1;
      if (busy[LATENCY-1]) b_fold <= (b_fold == LAST[FA-1:0]) ? {FA{1'b0}} : b_fold + 1'b1;
    end
  always @(posedge clk) begin
    acc <= s_tdata;
    m   <= multipliers[m_fold];
    b   <= biases[b_fold];
  end

  localparam [31:0] LO_WORD = LO, HI_WORD = HI;
  wire [PE*OB-1:0] codes;
  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : g_lane
      wire [PB-1:0] product;
      qd_product #(.XB(ACC), .YB(MB), .USE_DSP(USE_DSP)) times (.clk(clk),
        .x(acc[p*ACC +: ACC]), .y(m[p*MB +: MB]), .product(product));

      wire [BB-1:0] bias = b[p*BB +: BB];
      reg  [SB-1:0] sum;
      always @(posedge clk)
        sum <= {{(SB-PB){product[PB-1]}}, product} + {{(SB-BB){bias[BB-1]}}, bias};

      wire tie;
      if (EVEN == 0) begin : g_up
        assign tie = 1'b0;
        if (SHIFT > 0) begin : g_fraction
          wire unused_fraction = &{1'b0, sum[SHIFT-1:0]};
        end
      end else if (SHIFT == 0) begin : g_whole
        assign tie = 1'b1;
      end else begin : g_even
        assign tie = ~|sum[SHIFT-1:0];
      end
      wire signed [QB-1:0] code =
        {{(QB-SB+SHIFT){sum[SB-1]}}, sum[SB-1:SHIFT]} & ~{{(QB-1){1'b0}}, tie};
      // Bounds of QB bits, which may be more or fewer than those of a parameter.
      wire signed [QB-1:0] lo, hi;
      if (QB > 32) begin : g_wide
        assign lo = {{(QB-32){LO_WORD[31]}}, LO_WORD};
        assign hi = {{(QB-32){HI_WORD[31]}}, HI_WORD};
      end else begin : g_narrow
        assign lo = LO_WORD[QB-1:0];
        assign hi = HI_WORD[QB-1:0];
      end
      reg [OB-1:0] saturated;
      always @(posedge clk)
        saturated <= (code < lo) ? lo[OB-1:0] : (code > hi) ? hi[OB-1:0] : code[OB-1:0];
      assign codes[p*OB +: OB] = saturated;
    end
  endgenerate

  // Places for the beats from `take` to the push, LATENCY + 3 cycles later, and for three more.
  qd_queue #(.WIDTH(PE*OB), .DEPTH(LATENCY + 6)) queue (.clk(clk), .rst_n(rst_n), .room(s_tready),
    .reserve(take), .push(busy[LATENCY+2]), .push_data(codes),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
