// One stream to two readers; wider forks are trees of these.
//
//   in       WIDTH bits per beat
//   m0, m1   each takes every beat once, in order, at its own pace; a beat is done when both took
//            it
//   rate     one beat per cycle; no register in the way, an output gives its beat in the cycle in
//            which it comes in
//   ready    s_tready follows m0_tready and m1_tready; valid follows only s_tvalid
//   size     two flip-flops
//
// An output runs ahead of the other by at most the beat now at the input: readers that come
// together again further on need a FIFO as deep as their paths differ.
`default_nettype none
module qd_fork #(
  parameter WIDTH = 8
) (
  input  wire             clk,
  input  wire             rst_n,
  input  wire [WIDTH-1:0] s_tdata,
  input  wire             s_tvalid,
  output wire             s_tready,
  output wire [WIDTH-1:0] m0_tdata,
  output wire             m0_tvalid,
  input  wire             m0_tready,
  output wire [WIDTH-1:0] m1_tdata,
  output wire             m1_tvalid,
  input  wire             m1_tready
);
  reg  has0, has1;  // this output has the beat that still waits at the input
  wire done0 = has0 | m0_tready;
  wire done1 = has1 | m1_tready;
  assign s_tready  = done0 & done1;
  assign m0_tdata  = s_tdata;
  assign m1_tdata  = s_tdata;
  assign m0_tvalid = s_tvalid & ~has0;
  assign m1_tvalid = s_tvalid & ~has1;

  always @(posedge clk)
    if (!rst_n) begin
      has0 <= 1'b0;
      has1 <= 1'b0;
    end else if (s_tvalid) begin
      has0 <= done0 & ~done1;
      has1 <= done1 & ~done0;
    end
endmodule
`default_nettype wire
