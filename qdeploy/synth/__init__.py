"""Yosys synthesis and its figures."""
