// Sum of N numbers in a tree of two-input adders with a register after each.
//
//   x    N numbers of IB bits, number n at bits [n*IB +: IB], two's complement when SIGNED
//   sum  IB + $clog2(N) bits, $clog2(N) cycles later (at once for N = 1); a new sum every cycle
`default_nettype none
module qd_adder_tree #(
  parameter N      = 4,
  parameter IB     = 4,
  parameter SIGNED = 0
) (
  input  wire                    clk,
  input  wire [N*IB-1:0]         x,
  output wire [IB+$clog2(N)-1:0] sum
);
  localparam LEVELS = $clog2(N);

  // Level l has ceil(N / 2^l) numbers of IB + l bits; they follow those of the levels before.
  function integer numbers(input integer level);
    integer l;
    begin
      numbers = N;
      for (l = 0; l < level; l = l + 1) numbers = (numbers + 1)/2;
    end
  endfunction
  function integer start(input integer level);
    integer l;
    begin
      start = 0;
      for (l = 0; l < level; l = l + 1) start = start + numbers(l)*(IB + l);
    end
  endfunction

  wire [start(LEVELS)+IB+LEVELS-1:0] bits;
  assign bits[N*IB-1:0] = x;
  assign sum = bits[start(LEVELS) +: IB+LEVELS];
  genvar l, n;
  generate
    if (LEVELS == 0) begin : g_wire
      wire unused = &{1'b0, clk};
    end
    for (l = 0; l < LEVELS; l = l + 1) begin : g_level
      localparam COUNT = numbers(l), B = IB + l, FROM = start(l), TO = start(l + 1);
      for (n = 0; n < COUNT; n = n + 2) begin : g_pair
        wire [B-1:0] a = bits[FROM + n*B +: B];
        wire [B:0]   wide_a = {(SIGNED != 0) & a[B-1], a};
        reg  [B:0]   y;
        assign bits[TO + (n/2)*(B+1) +: B+1] = y;
        if (n + 1 < COUNT) begin : g_two
          wire [B-1:0] b = bits[FROM + (n+1)*B +: B];
          wire [B:0]   wide_b = {(SIGNED != 0) & b[B-1], b};
          always @(posedge clk) y <= wide_a + wide_b;
        end else begin : g_rest
          always @(posedge clk) y <= wide_a;
        end
      end
    end
  endgenerate
endmodule
`default_nettype wire
