"""Our Verilog from Python: blocks, wrappers, memory files, sums of constants."""
