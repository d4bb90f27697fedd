"""What quantization did to a trained network: noise, its growth, flatness, size and operations."""
