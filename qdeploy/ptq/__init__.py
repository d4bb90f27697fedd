"""Post-training quantization: a float network and some frames become a quantized network."""
