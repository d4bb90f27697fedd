"""The target `ip`: the core alone, for a design of the user's own."""
