// Index of the largest of N signed numbers; the lowest index wins a tie.
//
//   in    N/PE beats per frame, PE lanes of BITS bits, lane p of beat n is element n*PE + p
//   out   one beat per frame, the index in IDX bits
//   rate  one beat per cycle, frames back to back; a stalled pipeline still closes its gaps
//   time  $clog2(PE) + 3 cycles from the frame's last beat to the index
//   ready registered at the output (two words of buffer); s_tready follows the stages' fill
`default_nettype none
module qd_argmax #(
  parameter N    = 10,
  parameter PE   = 2,
  parameter BITS = 16,
  parameter IDX  = 4
) (
  input  wire               clk,
  input  wire               rst_n,
  input  wire [PE*BITS-1:0] s_tdata,
  input  wire               s_tvalid,
  output wire               s_tready,
  output wire [IDX-1:0]     m_tdata,
  output wire               m_tvalid,
  input  wire               m_tready
);
  // Wrong parameters end elaboration: there is no module of these names.
  generate
    if (N % PE != 0) begin : g_refused0
      PE_does_not_divide_N refused ();
    end
    if (IDX < $clog2(N)) begin : g_refused1
      IDX_is_too_narrow_for_N refused ();
    end
  endgenerate

  localparam BEATS  = N / PE;
  localparam LEVELS = $clog2(PE);
  localparam CB     = (BEATS > 1) ? $clog2(BEATS) : 1;
  localparam [31:0] LAST = BEATS - 1;
  localparam [31:0] STEP = PE;

  // A tournament: level 0 holds the PE lanes, level l the winners of 2^l lanes each.
  function integer lanes(input integer level);
    lanes = (PE + (1 << level) - 1) >> level;
  endfunction
  function integer start(input integer level);
    integer l;
    begin
      start = 0;
      for (l = 0; l < level; l = l + 1) start = start + lanes(l);
    end
  endfunction
  localparam TOTAL = start(LEVELS + 1);

  reg  [TOTAL*BITS-1:0] values;
  reg  [TOTAL*IDX-1:0]  places;  // lane within the beat
  reg  [LEVELS:0]       full;
  wire [LEVELS:0]       enable;
  wire                  final_ready;
  integer i;
  always @(posedge clk)
    if (!rst_n) full <= {(LEVELS+1){1'b0}};
    else begin
      if (enable[0]) full[0] <= s_tvalid;
      for (i = 1; i <= LEVELS; i = i + 1) if (enable[i]) full[i] <= full[i-1];
    end
  assign s_tready = enable[0];

  genvar l, j;
  generate
    for (l = 0; l <= LEVELS; l = l + 1) begin : g_level
      assign enable[l] = final_ready | ~(&full[LEVELS:l]);
      for (j = 0; j < lanes(l); j = j + 1) begin : g_lane
        localparam AT = start(l) + j;
        if (l == 0) begin : g_input
          localparam [31:0] PLACE = j;
          always @(posedge clk) if (enable[0]) begin
            values[AT*BITS +: BITS] <= s_tdata[j*BITS +: BITS];
            places[AT*IDX +: IDX]   <= PLACE[IDX-1:0];
          end
        end else begin : g_match
          localparam LOW  = start(l-1) + 2*j;
          localparam HIGH = (2*j + 1 < lanes(l-1)) ? LOW + 1 : LOW;
          wire signed [BITS-1:0] low  = values[LOW*BITS +: BITS];
          wire signed [BITS-1:0] high = values[HIGH*BITS +: BITS];
          always @(posedge clk) if (enable[l]) begin
            values[AT*BITS +: BITS] <= (high > low) ? high : low;
            places[AT*IDX +: IDX]   <= (high > low) ? places[HIGH*IDX +: IDX]
                                                    : places[LOW*IDX +: IDX];
          end
        end
      end
    end
  endgenerate

  // The beat's winner against the best of the frame so far.
  reg  [CB-1:0]          beat;
  reg  [IDX-1:0]         base;  // beat * PE
  reg signed [BITS-1:0]  best;
  reg  [IDX-1:0]         best_index;
  wire                   first = (beat == {CB{1'b0}});
  wire                   last  = (beat == LAST[CB-1:0]);
  wire signed [BITS-1:0] value = values[(TOTAL-1)*BITS +: BITS];
  wire                   wins  = first | (value > best);
  wire [IDX-1:0]         index = wins ? base + places[(TOTAL-1)*IDX +: IDX] : best_index;
  wire                   go    = full[LEVELS] & final_ready;
  wire                   out_ready;
  assign final_ready = out_ready | ~last;
  always @(posedge clk)
    if (!rst_n) begin
      beat <= {CB{1'b0}};
      base <= {IDX{1'b0}};
    end else if (go) begin
      beat <= last ? {CB{1'b0}} : beat + 1'b1;
      base <= last ? {IDX{1'b0}} : base + STEP[IDX-1:0];
    end
  always @(posedge clk) if (go) begin
    best_index <= index;
    if (wins) best <= value;
  end

  /* verilator lint_off UNUSEDSIGNAL */
  wire [15:0] fill;  // unused
  /* verilator lint_on UNUSEDSIGNAL */
  qd_fifo #(.WIDTH(IDX), .DEPTH(2)) out (
    .clk(clk), .rst_n(rst_n),
    .s_tdata(index), .s_tvalid(full[LEVELS] & last), .s_tready(out_ready),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready),
    .fill(fill)
  );
endmodule
`default_nettype wire
