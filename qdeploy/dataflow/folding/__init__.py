"""How parallel each layer is: the legal choices, the solver, the board's budget."""
