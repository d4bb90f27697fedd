// One step of qd_threshold's binary search, PE lanes side by side.
//
//   in    an accumulator and a heap index per lane, and the beat's channel fold, taken with
//         `enable[0]`
//   out   two cycles later, the second with `enable[1]`: the accumulator, the fold, and the heap
//         index one decision longer. The first cycle is the memory's alone, which may be slow.
//   heap  index 1 is the root; a decision appends a bit, 1 where acc >= threshold
//   mem   {TFILE, "_s<STAGE, 2 digits>_p<lane, 4 digits>.hex"}: FOLDS * 2^STAGE words of ACC bits; word
//         {fold, decisions so far}, first decision most significant
`default_nettype none
module qd_threshold_stage #(
  parameter STAGE     = 0,
  parameter PE        = 1,
  parameter ACC       = 16,
  parameter FOLDS     = 4,
  parameter FB        = 2,
  parameter TFILE     = "thresholds",
  // Goes into an attribute, which the linter does not look into.
  /* verilator lint_off UNUSEDPARAM */
  parameter RAM_STYLE = "auto"
  /* verilator lint_on UNUSEDPARAM */
) (
`ifdef QD_LOADABLE
  input  wire                    rst_n,
  input  wire [9:0]              config_in,
  output wire [9:0]              config_out,
`endif
  input  wire                    clk,
  input  wire [1:0]              enable,
  input  wire [PE*ACC-1:0]       in_acc,
  input  wire [FB-1:0]           in_fold,
  input  wire [PE*(STAGE+1)-1:0] in_heap,
  output reg  [PE*ACC-1:0]       out_acc,
  output reg  [FB-1:0]           out_fold,
  output wire [PE*(STAGE+2)-1:0] out_heap
);
  localparam WORDS = FOLDS << STAGE;
  // Digits as characters; halves of them in the file's name were garbage in Verilator 5.49.
  localparam [31:0] STAGE_TENS = 48 + STAGE / 10;
  localparam [31:0] STAGE_ONES = 48 + STAGE % 10;

  reg [PE*ACC-1:0]       acc_read;
  reg [FB-1:0]           fold_read;
  reg [PE*(STAGE+1)-1:0] heap_read, heap;
  always @(posedge clk) if (enable[0]) begin
    acc_read  <= in_acc;
    fold_read <= in_fold;
    heap_read <= in_heap;
  end
  always @(posedge clk) if (enable[1]) begin
    out_acc  <= acc_read;
    out_fold <= fold_read;
    heap     <= heap_read;
  end

`ifdef QD_LOADABLE
  localparam WA = (WORDS > 1) ? $clog2(WORDS) : 1;
  wire              t_write;
  wire [WA-1:0]     t_at;
  wire [PE*ACC-1:0] t_word;
  qd_load #(.WIDTH(PE*ACC), .WORDS(WORDS)) load (.clk(clk), .rst_n(rst_n),
    .config_in(config_in), .config_out(config_out), .write(t_write), .at(t_at), .word(t_word));
`endif
  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : g_lane
      localparam [31:0] THOUSANDS = 48 + p / 1000;
      localparam [31:0] HUNDREDS  = 48 + (p / 100) % 10;
      localparam [31:0] TENS      = 48 + (p / 10) % 10;
      localparam [31:0] ONES      = 48 + p % 10;
`ifdef QD_LOADABLE
      (* no_rw_check *)
`endif
      (* ram_style = RAM_STYLE *) reg [ACC-1:0] words [0:WORDS-1];
      initial $readmemh({TFILE, "_s", STAGE_TENS[7:0], STAGE_ONES[7:0], "_p", THOUSANDS[7:0],
        HUNDREDS[7:0], TENS[7:0], ONES[7:0], ".hex"}, words);
`ifdef QD_LOADABLE
      always @(posedge clk) if (t_write) words[t_at] <= t_word[p*ACC +: ACC];
`endif
      // The heap index without its leading one, after the fold, is the address.
      reg [ACC-1:0]        read;
      reg signed [ACC-1:0] threshold;
      always @(posedge clk) if (enable[1]) threshold <= read;
      if (STAGE == 0) begin : g_root
        always @(posedge clk) if (enable[0]) read <= words[in_fold];
      end else if (FOLDS == 1) begin : g_one
        always @(posedge clk) if (enable[0]) read <= words[in_heap[p*(STAGE+1) +: STAGE]];
      end else begin : g_inner
        always @(posedge clk)
          if (enable[0]) read <= words[{in_fold, in_heap[p*(STAGE+1) +: STAGE]}];
      end
      wire signed [ACC-1:0] acc = out_acc[p*ACC +: ACC];
      assign out_heap[p*(STAGE+2) +: STAGE+2] =
        {heap[p*(STAGE+1) +: STAGE+1], (acc >= threshold)};
    end
  endgenerate
endmodule
`default_nettype wire
