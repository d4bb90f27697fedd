// Position in a repeating sequence of N steps.
//
//   step  one step is taken at this clock edge
//   last  the present step is the N-th; a register (constant 1 for N = 1)
`default_nettype none
module qd_cycle #(
  parameter N = 4
) (
  input  wire clk,
  input  wire rst_n,
  input  wire step,
  output wire last
);
  generate
    if (N == 1) begin : g_one
      wire unused = &{1'b0, clk, rst_n, step};
      assign last = 1'b1;
    end else begin : g_many
      localparam B = $clog2(N);
      localparam [31:0] BEFORE = N - 2;
      reg [B-1:0] index;
      reg         at_last;
      assign last = at_last;
      always @(posedge clk)
        if (!rst_n) begin
          index   <= {B{1'b0}};
          at_last <= 1'b0;
        end else if (step) begin
          index   <= at_last ? {B{1'b0}} : index + 1'b1;
          at_last <= index == BEFORE[B-1:0];
        end
    end
  endgenerate
endmodule
`default_nettype wire
