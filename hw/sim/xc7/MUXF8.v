// The multiplexer that joins the two MUXF7 of a slice: O is I1 where S, else I0.
module MUXF8 (
  output wire O,
  input wire I0, I1, S
);
  assign O = S ? I1 : I0;
endmodule
