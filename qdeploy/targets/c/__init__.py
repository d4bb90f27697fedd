"""The target `c`: a network as portable C99 for microcontrollers."""
