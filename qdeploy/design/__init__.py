"""The manifest of a stitched design, and the packing of its streams."""
