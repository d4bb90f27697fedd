// Position in a repeating sequence of BEFORE + N + AFTER steps.
//
//   step    one step is taken at this clock edge
//   interior  the present step is one of the N in the middle; a register
//   last    the present step is the sequence's last; a register
`default_nettype none
module qd_interior #(
  parameter BEFORE = 1,
  parameter N      = 8,
  parameter AFTER  = 1
) (
  input  wire clk,
  input  wire rst_n,
  input  wire step,
  output wire interior,
  output wire last
);
  localparam TOTAL = BEFORE + N + AFTER;
  qd_cycle #(.N(TOTAL)) whole (.clk(clk), .rst_n(rst_n), .step(step), .last(last));

  generate
    if (TOTAL == N) begin : g_always
      assign interior = 1'b1;
      wire unused = &{1'b0, clk, rst_n, step};
    end else begin : g_sometimes
      localparam B = $clog2(TOTAL);
      localparam [31:0] ENTRY = (BEFORE > 0) ? BEFORE - 1 : TOTAL - 1;
      localparam [31:0] EXIT  = BEFORE + N - 1;
      reg [B-1:0] index;
      reg         now;
      assign interior = now;
      always @(posedge clk)
        if (!rst_n) begin
          index <= {B{1'b0}};
          now   <= BEFORE == 0;
        end else if (step) begin
          index <= last ? {B{1'b0}} : index + 1'b1;
          if (index == ENTRY[B-1:0]) now <= 1'b1;
          else if (index == EXIT[B-1:0]) now <= 1'b0;
        end
    end
  endgenerate
endmodule
`default_nettype wire
