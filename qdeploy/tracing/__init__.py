"""A float network of one's own, traced by torch.fx, as a quantized network."""
