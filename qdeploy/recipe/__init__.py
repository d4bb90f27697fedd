"""What a user writes: network, quantization, data and training phases, in one YAML file."""
