// The multiplexer that joins two LUT6 of a half slice: O is I1 where S, else I0.
module MUXF7 (
  output wire O,
  input wire I0, I1, S
);
  assign O = S ? I1 : I0;
endmodule
