"""Features of the modules of `hw/rtl`: counts that LUTs and flip-flops are nearly linear in.

Each function takes the Verilog parameters of one module and gives its `Features`: how many adder
bits, comparator bits, multiplexer bits, counter bits, ROM tables and registers there are, from the
module's own structure. `hw/costs/` holds what one of each takes, fitted to measured blocks; block
RAMs and DSP blocks are counted exactly. Every file here is found by itself
(`cost.features.all_features`).
"""
