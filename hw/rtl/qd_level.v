// How full something is, 0 to MAX.
//
//   up, down  one more, one less at this clock edge; both together leave the level.
//             The user never raises `up` alone at MAX or `down` alone at 0.
//   some      level > 0; a register
//   full      level = MAX; a register
`default_nettype none
module qd_level #(
  parameter MAX = 4
) (
  input  wire clk,
  input  wire rst_n,
  input  wire up,
  input  wire down,
  output reg  some,
  output reg  full
);
  localparam B = $clog2(MAX + 1);
  localparam [31:0] BELOW = MAX - 1;
  localparam [31:0] ONE = 1;
  reg [B-1:0] level;

  always @(posedge clk)
    if (!rst_n) begin
      level <= {B{1'b0}};
      some  <= 1'b0;
      full  <= 1'b0;
    end else if (up & ~down) begin
      level <= level + 1'b1;
      some  <= 1'b1;
      full  <= level == BELOW[B-1:0];
    end else if (down & ~up) begin
      level <= level - 1'b1;
      some  <= level != ONE[B-1:0];
      full  <= 1'b0;
    end
endmodule
`default_nettype wire
