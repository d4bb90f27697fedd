"""The ladder: the same frames through every level, bit for bit."""
