// Maximum over groups of K consecutive beats, lane by lane.
//
//   in   K beats per group, PE lanes of BITS bits (two's complement when SIGNED)
//   out  one beat per group
//   rate one input beat per cycle; the result comes out one cycle after the group's last beat
`default_nettype none
module qd_maxpool #(
  parameter K      = 4,
  parameter PE     = 1,
  parameter BITS   = 2,
  parameter SIGNED = 0
) (
  input  wire               clk,
  input  wire               rst_n,
  input  wire [PE*BITS-1:0] s_tdata,
  input  wire               s_tvalid,
  output wire               s_tready,
  output wire [PE*BITS-1:0] m_tdata,
  output wire               m_tvalid,
  input  wire               m_tready
);
  wire room, group_last;
  wire take = s_tvalid & s_tready;
  assign s_tready = room | ~group_last;

  qd_cycle #(.N(K)) group (.clk(clk), .rst_n(rst_n), .step(take), .last(group_last));

  wire [PE*BITS-1:0] larger;
  generate
    if (K == 1) begin : g_pass
      assign larger = s_tdata;
    end else begin : g_max
      // Comparing with the sign bit flipped orders two's complement like unsigned numbers.
      localparam [BITS-1:0] FLIP = {BITS{SIGNED != 0}} & ~({BITS{1'b1}} >> 1);
      reg [PE*BITS-1:0] best;
      reg               fresh;
      genvar p;
      for (p = 0; p < PE; p = p + 1) begin : g_lane
        wire [BITS-1:0] a = s_tdata[p*BITS +: BITS];
        wire [BITS-1:0] b = best[p*BITS +: BITS];
        assign larger[p*BITS +: BITS] = (fresh || (a ^ FLIP) > (b ^ FLIP)) ? a : b;
      end
      always @(posedge clk) begin
        if (!rst_n) fresh <= 1'b1;
        else if (take) fresh <= group_last;
        if (take) best <= larger;
      end
    end
  endgenerate

  qd_skid #(.WIDTH(PE*BITS)) out (.clk(clk), .rst_n(rst_n),
    .s_tdata(larger), .s_tvalid(s_tvalid & group_last), .s_tready(room),
    .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
