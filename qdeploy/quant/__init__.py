"""Quantizers and quantized layers, on Brevitas."""
