// Bit planes put together: the sum of 2^k * x_k over N planes, the last one negative when NEG.
//
//   x    N numbers of IB bits, number k at bits [k*IB +: IB], two's complement when SIGNED
//   sum  IB + N bits, two's complement when SIGNED or NEG; N - 1 cycles later, one every cycle
`default_nettype none
module qd_plane_sum #(
  parameter N      = 2,
  parameter IB     = 4,
  parameter SIGNED = 0,
  parameter NEG    = 1
) (
  input  wire            clk,
  input  wire [N*IB-1:0] x,
  output wire [IB+N-1:0] sum
);
  // Sum k of planes 0 to k has IB + k + 1 bits; it follows those before.
  localparam LAST = (N - 1)*(IB + 1) + (N - 1)*(N - 2)/2;
  wire [LAST+IB+N-1:0] sums;
  wire [IB:0]          first = {(SIGNED != 0) & x[IB-1], x[IB-1:0]};
  assign sum = sums[LAST +: IB+N];
  genvar k;
  generate
    if (N == 1) begin : g_one
      wire unused = &{1'b0, clk};
      assign sums = (NEG != 0) ? {(IB+1){1'b0}} - first : first;
    end else begin : g_first
      assign sums[IB:0] = first;
    end
    for (k = 1; k < N; k = k + 1) begin : g_plane
      localparam FROM = (k - 1)*(IB + 1) + (k - 1)*(k - 2)/2;
      wire [IB+k-1:0] below = sums[FROM +: IB+k];
      wire [IB-1:0]   plane;
      if (k == 1) begin : g_now
        assign plane = x[k*IB +: IB];
      end else begin : g_late
        // Plane k waits for the k - 1 additions before it.
        reg [(k-1)*IB-1:0] delay;
        assign plane = delay[(k-1)*IB-1 -: IB];
        if (k == 2) begin : g_once
          always @(posedge clk) delay <= x[k*IB +: IB];
        end else begin : g_more
          always @(posedge clk) delay <= {delay[(k-2)*IB-1:0], x[k*IB +: IB]};
        end
      end
      // The low k bits pass by.
      wire [IB:0]  wide_plane = {(SIGNED != 0) & plane[IB-1], plane};
      wire [IB:0]  wide_below = {(SIGNED != 0) & below[IB+k-1], below[IB+k-1:k]};
      reg  [IB:0]  high;
      reg  [k-1:0] low;
      always @(posedge clk) begin
        high <= (NEG != 0 && k == N - 1) ? wide_below - wide_plane : wide_below + wide_plane;
        low  <= below[k-1:0];
      end
      assign sums[FROM + IB + k +: IB+k+1] = {high, low};
    end
  endgenerate
endmodule
`default_nettype wire
