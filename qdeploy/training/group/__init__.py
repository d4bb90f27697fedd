"""Training many seeds of one small network at once, in one process."""
