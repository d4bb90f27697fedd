// Sums over all pixels of a frame, channel by channel (global average pooling before its division).
//
//   in    PIXELS pixels per frame, CF beats each, PE lanes of BITS bits (two's complement when
//         SIGNED)
//   out   CF beats per frame, PE sums of OB bits (their low OB bits if they have more)
//   rate  one input beat per cycle, PIXELS*CF cycles per frame, frames back to back. A sum is out
//         one cycle after the frame's last beat of its channels; a stalled output stops the input
//         only in a frame's last pixel.
//   mem   CF words of PE*OB bits (a register for CF = 1). The word of the next beat is read one
//         beat ahead; it was written CF - 1 beats before, so no word is read and written at once.
`default_nettype none
module qd_global_sum #(
  parameter PE        = 2,
  parameter BITS      = 4,
  parameter SIGNED    = 0,
  parameter CF        = 4,
  parameter PIXELS    = 16,
  parameter OB        = 9,
  parameter RAM_STYLE = "auto"
) (
  input  wire               clk,
  input  wire               rst_n,
  input  wire [PE*BITS-1:0] s_tdata,
  input  wire               s_tvalid,
  output wire               s_tready,
  output wire [PE*OB-1:0]   m_tdata,
  output wire               m_tvalid,
  input  wire               m_tready
);
  localparam B = ((BITS > OB) ? BITS : OB) + 1;
  localparam unused_style = RAM_STYLE;  // attributes are not seen as a use

  wire room, fold_last, pixel_last;
  reg  first;  // the frame's first pixel
  wire take = s_tvalid & s_tready;
  assign s_tready = room | ~pixel_last;

  qd_cycle #(.N(CF)) fold (.clk(clk), .rst_n(rst_n), .step(take), .last(fold_last));
  qd_cycle #(.N(PIXELS)) pixel (.clk(clk), .rst_n(rst_n), .step(take & fold_last),
    .last(pixel_last));
  always @(posedge clk)
    if (!rst_n) first <= 1'b1;
    else if (take & fold_last) first <= pixel_last;

  reg  [PE*OB-1:0] partial;  // sums of the pixels so far
  wire [PE*OB-1:0] sums;
  genvar p;
  generate
    for (p = 0; p < PE; p = p + 1) begin : g_lane
      wire [BITS-1:0] x   = s_tdata[p*BITS +: BITS];
      wire [OB-1:0]   old = partial[p*OB +: OB] & {OB{~first}};
      wire [B-1:0]    sum = {{(B-BITS){(SIGNED != 0) & x[BITS-1]}}, x} + {{(B-OB){1'b0}}, old};
      wire            unused_high = &{1'b0, sum[B-1:OB]};
      assign sums[p*OB +: OB] = sum[OB-1:0];
    end

    if (CF == 1) begin : g_register
      always @(posedge clk) if (take) partial <= sums;
    end else begin : g_memory
      localparam AB = $clog2(CF);
      (* ram_style = RAM_STYLE, no_rw_check *) reg [PE*OB-1:0] words [0:CF-1];
      reg  [AB-1:0] at;
      wire [AB-1:0] next = fold_last ? {AB{1'b0}} : at + 1'b1;
      always @(posedge clk)
        if (!rst_n) at <= {AB{1'b0}};
        else if (take) at <= next;
      always @(posedge clk) if (take) begin
        words[at] <= sums;
        partial   <= words[next];
      end
    end
  endgenerate

  qd_skid #(.WIDTH(PE*OB)) out (.clk(clk), .rst_n(rst_n),
    .s_tdata(sums), .s_tvalid(s_tvalid & pixel_last), .s_tready(room),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
