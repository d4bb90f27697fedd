"""From the integer graph through FINN to RTL: hardware layers, folding, stitching."""
