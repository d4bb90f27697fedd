"""The rungs of the ladder, one file per rung: each runs one level and compares it."""
