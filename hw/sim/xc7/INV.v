// An inverter.
module INV (
  output wire O,
  input wire I
);
  assign O = ~I;
endmodule
