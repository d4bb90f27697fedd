// Position along one axis of a feature map, as windows see it.
//
//   N, SPAN, STRIDE  steps along the axis, steps a window spans, steps from window to window
//   step       one step is taken at this clock edge
//   kept       the present step belongs to some window
//   completes  it is some window's last
//   last       it is the axis' last
`default_nettype none
module qd_stride #(
  parameter N      = 8,
  parameter SPAN   = 3,
  parameter STRIDE = 1
) (
  input  wire clk,
  input  wire rst_n,
  input  wire step,
  output wire kept,
  output wire completes,
  output wire last
);
  localparam COUNT = (N - SPAN)/STRIDE + 1;
  localparam TAIL  = N - (COUNT - 1)*STRIDE - SPAN;
  localparam MOST  = (SPAN > STRIDE) ? SPAN : STRIDE;
  localparam B     = $clog2(MOST + 1);
  localparam [31:0] FIRST = SPAN - 1, AGAIN = STRIDE - 1;
  qd_cycle #(.N(N)) whole (.clk(clk), .rst_n(rst_n), .step(step), .last(last));

  // Steps left until a window's last one; the tail after the last window is shorter than STRIDE.
  reg [B-1:0] left;
  assign completes = left == {B{1'b0}};
  always @(posedge clk)
    if (!rst_n) left <= FIRST[B-1:0];
    else if (step)
      left <= last ? FIRST[B-1:0] : completes ? AGAIN[B-1:0] : left - 1'b1;

  // After the last window `left` counts on as before: only the position tells.
  generate
    if (TAIL == 0) begin : g_exact
      assign kept = left <= FIRST[B-1:0];
    end else begin : g_tail
      localparam NB = $clog2(N);
      localparam [31:0] END = N - TAIL - 1;
      reg [NB-1:0] index;
      reg          over;
      assign kept = (left <= FIRST[B-1:0]) & ~over;
      always @(posedge clk)
        if (!rst_n) begin
          index <= {NB{1'b0}};
          over  <= 1'b0;
        end else if (step) begin
          index <= last ? {NB{1'b0}} : index + 1'b1;
          over  <= ~last & (over | (index == END[NB-1:0]));
        end
    end
  endgenerate
endmodule
`default_nettype wire
