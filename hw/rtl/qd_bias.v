// Integer added per channel.
//
//   in   C/PE beats per vector, PE signed lanes of IB bits, lane p of beat n is channel n*PE + p
//   out  the same beats, lanes of OB bits: in + bias[channel], two's complement
//   rate one beat per cycle; one cycle from an accepted beat to its output
//   mem  BFILE: C/PE words, lane p at bits [p*BB +: BB]
`default_nettype none
module qd_bias #(
  parameter C     = 10,
  parameter PE    = 1,
  parameter IB    = 16,
  parameter BB    = 16,
  parameter OB    = 17,
  parameter BFILE = "bias.hex"
) (
`ifdef QD_LOADABLE
  input  wire [9:0]         config_in,
  output wire [9:0]         config_out,
`endif
  input  wire              clk,
  input  wire              rst_n,
  input  wire [PE*IB-1:0]  s_tdata,
  input  wire              s_tvalid,
  output wire              s_tready,
  output reg  [PE*OB-1:0]  m_tdata,
  output reg               m_tvalid,
  input  wire              m_tready
);
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (C % PE != 0) begin : g_refused0
      PE_does_not_divide_C refused ();
    end
    if (OB < IB || OB < BB) begin : g_refused1
      OB_is_narrower_than_an_operand refused ();
    end
  endgenerate

  localparam NF  = C / PE;
  localparam NFB = (NF > 1) ? $clog2(NF) : 1;
  localparam [31:0] LAST = NF - 1;

`ifdef QD_LOADABLE
  (* no_rw_check *)
`endif
  reg [PE*BB-1:0] rom [0:NF-1];
  initial $readmemh(BFILE, rom);
`ifdef QD_LOADABLE
  wire             b_write;
  wire [NFB-1:0]   b_at;
  wire [PE*BB-1:0] b_word;
  qd_load #(.WIDTH(PE*BB), .WORDS(NF)) load (.clk(clk), .rst_n(rst_n), .config_in(config_in),
    .config_out(config_out), .write(b_write), .at(b_at), .word(b_word));
  always @(posedge clk) if (b_write) rom[b_at] <= b_word;
`endif

  reg  [NFB-1:0]   fold;
  wire [PE*BB-1:0] word = rom[fold];
  wire             take = s_tvalid & s_tready;
  assign s_tready = ~m_tvalid | m_tready;

  always @(posedge clk)
    if (!rst_n) begin
      fold     <= {NFB{1'b0}};
      m_tvalid <= 1'b0;
    end else begin
      if (take) fold <= (fold == LAST[NFB-1:0]) ? {NFB{1'b0}} : fold + 1'b1;
      if (s_tready) m_tvalid <= s_tvalid;
    end

  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : g_lane
      wire signed [IB-1:0] value = s_tdata[p*IB +: IB];
      wire signed [BB-1:0] bias  = word[p*BB +: BB];
      wire signed [OB-1:0] wide_value, wide_bias;
      assign wide_value = {{(OB-IB){value[IB-1]}}, value};
      assign wide_bias  = {{(OB-BB){bias[BB-1]}}, bias};
      always @(posedge clk) if (take) m_tdata[p*OB +: OB] <= wide_value + wide_bias;
    end
  endgenerate
endmodule
`default_nettype wire
