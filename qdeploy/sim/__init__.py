"""Verilator models of a design, driven from Python through a C++ loop."""
