// Matrix-vector unit that multiplies all MW x MH weights at once: control, thresholds and output.
// The sums are made outside, by a module that has the weights in its logic.
//
//   in     one beat per vector, MW activations of AB bits
//   out    one beat per vector, MH results of OB bits: BASE + the number of thresholds the sum of
//          that row reaches, or for NT = 0 the sum
//   codes  the activations of the vector begun a cycle ago
//   sums   their MH sums of ACC bits, two's complement, LATENCY - 1 cycles later
//   rate   a vector per cycle; a stalled output stops the unit only when its queue is full
//   time   LATENCY + 3 cycles from a vector to its results, one more with thresholds
//   mem    TFILE: one word, as qd_results says
`default_nettype none
module qd_unrolled #(
  parameter MW      = 8,
  parameter MH      = 4,
  parameter AB      = 2,
  parameter LATENCY = 3,
  parameter ACC     = 9,
  parameter NT      = 3,
  parameter OB      = 2,
  parameter BASE    = 0,
  parameter TFILE   = "thresholds.hex"
) (
  input  wire              clk,
  input  wire              rst_n,
  input  wire [MW*AB-1:0]  s_tdata,
  input  wire              s_tvalid,
  output wire              s_tready,
  output reg  [MW*AB-1:0]  codes,
  input  wire [MH*ACC-1:0] sums,
  output wire [MH*OB-1:0]  m_tdata,
  output wire              m_tvalid,
  input  wire              m_tready
);
  wire issue = s_tvalid & s_tready;
  always @(posedge clk) codes <= s_tdata;
  qd_results #(.K(1), .NF(1), .PE(MH), .DB(ACC), .LATENCY(LATENCY), .ACC(ACC), .NT(NT), .OB(OB),
    .BASE(BASE), .TFILE(TFILE)) results (.clk(clk), .rst_n(rst_n), .issue(issue), .done(issue),
    .room(s_tready), .dots(sums), .m_tdata(m_tdata), .m_tvalid(m_tvalid), .m_tready(m_tready));
endmodule
`default_nettype wire
