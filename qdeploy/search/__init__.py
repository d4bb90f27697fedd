"""Which network to train in the first place: its bit widths by layer."""
