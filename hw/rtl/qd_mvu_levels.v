// BASE plus the number of thresholds an accumulator reaches.
//
//   acc, levels  ACC bits, and NT thresholds of ACC bits, all two's complement
//   enable       the comparison at this clock edge is the one that counts
//   value        OB bits, one cycle later, until the next comparison
`default_nettype none
module qd_mvu_levels #(
  parameter NT   = 3,
  parameter ACC  = 9,
  parameter OB   = 2,
  parameter BASE = 0
) (
  input  wire              clk,
  input  wire              enable,
  input  wire [ACC-1:0]    acc,
  input  wire [NT*ACC-1:0] levels,
  output reg  [OB-1:0]     value
);
  localparam [31:0] FIRST = BASE;
  reg [NT-1:0] reached;
  genvar t;
  generate
    for (t = 0; t < NT; t = t + 1) begin : g_level
      wire signed [ACC-1:0] level = levels[t*ACC +: ACC];
      always @(posedge clk) if (enable) reached[t] <= $signed(acc) >= level;
    end
  endgenerate
  integer k;
  always @* begin
    value = FIRST[OB-1:0];
    for (k = 0; k < NT; k = k + 1) value = value + {{(OB-1){1'b0}}, reached[k]};
  end
endmodule
`default_nettype wire
